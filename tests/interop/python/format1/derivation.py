"""Derivations from a master key and a user's record."""

import hashlib
import hmac

from .text import decode, encode, frame, u32, u64


def credential(secrets):
    return hashlib.sha256(frame("relatch/1 credential", *secrets)).digest()


def effective(secrets, carried):
    """The effective credential: the carried digest if it is for these secrets."""
    present = credential(secrets)
    if carried is not None:
        pair = decode(carried)
        digest, stands_for = pair[:32], pair[32:]
        if hmac.compare_digest(stands_for, present):
            return digest
    return present


def rehash(carried, old_secrets, new_secrets):
    """The pair to store when the same password is hashed again."""
    return encode(effective(old_secrets, carried) + credential(new_secrets))


def outer_epochs(authority, record):
    """The epochs' names and counters, outermost first."""
    fixed = [(epoch["kind"], epoch["counter"]) for epoch in authority["epochs"]]
    own = []
    for epoch in record["epochs"]:
        instance = epoch["instance"]
        name = epoch["kind"] if instance is None else f"{epoch['kind']}:{instance}"
        own.append((name, epoch["counter"]))
    return fixed + own


def body(authority, purpose, record, context):
    epochs = outer_epochs(authority, record)
    outer = frame(*(piece for name, counter in epochs for piece in (name, u64(counter))))
    lane = u64(record["lane"]) if purpose["lane"] else b""
    pairs = sorted((kind.encode(), value.encode()) for kind, value in context.items())
    bound_context = frame(*(piece for pair in pairs for piece in pair))
    digest = effective(record["secrets"], record["carried"])
    return frame(record["id"], digest, outer, u64(record["version"]), lane, bound_context)


class Derivation:
    """The derivations of one master key for the tokens of one issuer and `typ`."""

    def __init__(self, master, issuer, typ):
        self.master, self.issuer, self.typ = bytes.fromhex(master), issuer, typ

    def _mac(self, label, rest=b""):
        head = frame("relatch/1 " + label, self.typ, self.issuer)
        return hmac.new(self.master, head + rest, hashlib.sha256).digest()

    def user_key(self, bound):
        return self._mac("key", bound)

    def server_key(self):
        return self._mac("server")

    def guard(self, subject, exp, nonce):
        return self._mac("guard", frame(subject, u64(exp), nonce))[:8]

    def nonce(self, subject, slot, generation, seq):
        return self._mac("nonce", frame(subject, u32(slot), u64(generation), u64(seq)))[:8]

    def stamp(self, bound, jti, exp):
        return self._mac("stamp", bound + frame(jti, u64(exp)))[:16]
