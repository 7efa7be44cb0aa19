"""Derivations from a master key and a user's record."""

import hashlib
import hmac

from .rejection import UnfitRecord
from .text import decode, encode, frame, u16, u64


def credential(secrets):
    return hashlib.sha256(frame("relatch/1 credential", *secrets)).digest()


def effective(secrets, carried):
    """The effective credential: the carried digest if it is for these secrets."""
    present = credential(secrets)
    if carried is not None:
        digest, stands_for = read_pair(carried)
        if hmac.compare_digest(stands_for, present):
            return digest
    return present


def read_pair(carried):
    pair = decode(carried) or b""
    if len(pair) != 64:
        raise UnfitRecord("carried pair")
    return pair[:32], pair[32:]


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


def outer_frame(authority, record):
    epochs = outer_epochs(authority, record)
    return frame(*(piece for name, counter in epochs for piece in (name, u64(counter))))


def body(authority, purpose, record, context):
    digest = effective(record["secrets"], record["carried"])
    outer = outer_frame(authority, record)
    lane = u64(record["lane"]) if purpose["lane"] else b""
    pairs = sorted((kind.encode(), value.encode()) for kind, value in context.items())
    bound_context = frame(*(piece for pair in pairs for piece in pair))
    return digest + u64(record["version"]) + frame(record["id"], outer, lane, bound_context)


def session_tag(authority, record):
    """What the table says a session is bound to."""
    digest = effective(record["secrets"], record["carried"])
    outer = outer_frame(authority, record)
    bound = frame("relatch/1 sessions", digest, u64(record["version"]), outer)
    return encode(hashlib.sha256(bound).digest()[:8])


class Derivation:
    """The derivations of one master key for the tokens of one issuer and `typ`."""

    def __init__(self, master, issuer, typ):
        self.master, self.issuer, self.typ = bytes.fromhex(master), issuer, typ

    def subkey(self, label):
        return mac(self.master, frame("relatch/1 " + label, self.typ, self.issuer))

    def user_key(self, bound):
        return mac(self.subkey("key"), bound)

    def server_key(self):
        return self.subkey("server")

    def guard(self, subject, exp, nonce):
        return mac(self.subkey("guard"), u64(exp) + nonce + subject.encode())[:8]

    def nonce(self, subject, slot, generation, seq):
        place = u16(slot) + u64(generation) + u64(seq)
        return mac(self.subkey("nonce"), place + subject.encode())[:8]

    def stamp(self, bound, header, unstamped):
        covered = f"{header}.".encode() + unstamped
        return mac(self.subkey("stamp"), frame(bound) + covered)[:16]

    def device_code(self, said):
        return mac(self.subkey("device"), said)[:16]


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()
