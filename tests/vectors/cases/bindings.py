"""Tokens whose keys, guards and stamps are derived in another way than the format's.

Each token is genuine but for one derivation, from which one input is missing, exchanged or
otherwise encoded.
"""

from format1.derivation import credential, mac, outer_frame
from format1.issuing import bound_body, claims_for, issuing_header, stamped
from format1.text import compact_json, encode, frame, hs256, u32, u64

from .common import (
    ENTROPY,
    EXPIRES,
    HASH,
    ISSUED,
    MASTER,
    PARTNER,
    complete,
    realm,
    rejected,
    tenant,
)

KEYED = bytes.fromhex(MASTER)


def inputs_of(mode):
    """Inputs under which no piece of the body is empty, and two versions are not equal."""
    return {
        "authority": {"mode": mode, "epochs": [realm(1)], "user_epochs": ["tenant"]},
        "purpose": PARTNER,
        "context": {"address": "192.0.2.1", "email": "a@example.com"},
        "record": {"secrets": [HASH, "totp"], "epochs": [tenant("acme", 7)], "lane": 9},
    }


def other_subkeys(label, typ, issuer):
    """The master key's subkey for this label, derived in other ways."""
    labels = ["key", "guard", "nonce", "stamp", "server"]
    prefixed = f"relatch/1 {label}"
    for other in labels:
        if other != label:
            yield f"label {other}", mac(KEYED, frame(f"relatch/1 {other}", typ, issuer))
    yield "no label", mac(KEYED, frame(typ, issuer))
    yield "no prefix of the label", mac(KEYED, frame(label, typ, issuer))
    yield "no typ", mac(KEYED, frame(prefixed, issuer))
    yield "no issuer", mac(KEYED, frame(prefixed, typ))
    yield "typ and issuer exchanged", mac(KEYED, frame(prefixed, issuer, typ))
    yield "no lengths", mac(KEYED, (prefixed + typ + issuer).encode())
    yield "the master key itself", KEYED


def other_bodies(inputs):
    """The body of these inputs, built in other ways."""
    authority, record, context = inputs["authority"], inputs["record"], inputs["context"]
    digest, version, lane = (
        credential(record["secrets"]),
        u64(record["version"]),
        u64(record["lane"]),
    )
    outer = outer_frame(authority, record)
    pairs = [piece for kind in sorted(context) for piece in (kind, context[kind])]
    bound, user = frame(*pairs), record["id"]
    pieces = [user, outer, lane, bound]
    start = digest + version
    for place, name in enumerate(("user id", "outer", "lane", "context")):
        yield f"no {name}", start + frame(*pieces[:place], *pieces[place + 1 :])
        yield f"an empty {name}", start + frame(*pieces[:place], "", *pieces[place + 1 :])
    for place, name in enumerate(("user id and outer", "outer and lane", "lane and context")):
        swapped = [*pieces[:place], *reversed(pieces[place : place + 2]), *pieces[place + 2 :]]
        yield f"{name} exchanged", start + frame(*swapped)
    yield "no credential", version + frame(*pieces)
    yield "no version", digest + frame(*pieces)
    yield "version and credential exchanged", version + digest + frame(*pieces)
    yield "a version of 4 bytes", digest + u32(record["version"]) + frame(*pieces)
    yield "no lengths", start + b"".join([user.encode(), outer, lane, bound])
    yield "everything in the frame", frame(digest, version, *pieces)
    one_secret = credential(record["secrets"][:1])
    for name, other in {
        "the first secret alone": one_secret,
        "the secrets in another order": credential(record["secrets"][::-1]),
        "the secrets without lengths": credential(["".join(record["secrets"])]),
        "the credential of zeros": bytes(32),
    }.items():
        yield name, other + version + frame(*pieces)
    names = [epoch["kind"] for epoch in [*authority["epochs"], *record["epochs"]]]
    counters = [epoch["counter"] for epoch in [*authority["epochs"], *record["epochs"]]]
    real = list(zip([names[0], "tenant:acme"], counters))
    for name, epochs in {
        "the first epoch alone": real[:1],
        "the second epoch alone": real[1:],
        "the epochs in another order": real[::-1],
        "an epoch without its instance": list(zip(names, counters)),
        "an epoch behind": [real[0], ("tenant:acme", 6)],
    }.items():
        other = frame(*(piece for epoch, count in epochs for piece in (epoch, u64(count))))
        yield name, start + frame(user, other, lane, bound)
    for name, other in {
        "the context's values alone": frame(*pairs[1::2]),
        "the context in another order": frame(*pairs[2:], *pairs[:2]),
        "a kind of the context missing": frame(*pairs[:2]),
    }.items():
        yield name, start + frame(user, outer, lane, other)


def other_derivations():
    for mode, reason in (("key", "bad_signature"), ("stamp_hs256", "revoked_by_stamp")):
        given = inputs_of(mode)
        inputs = complete(given)
        typ, issuer = inputs["purpose"]["typ"], inputs["authority"]["issuer"]
        header, plain = (
            issuing_header(inputs),
            compact_json(claims_for(inputs, ISSUED, EXPIRES, ENTROPY)),
        )

        def subkey(label):
            return mac(KEYED, frame(f"relatch/1 {label}", typ, issuer))

        def keyed(name, user_key):
            signing_input = f"{header}.{encode(plain.encode())}"
            token = f"{signing_input}.{encode(hs256(user_key, signing_input))}"
            return rejected(f"user key: {name}", token, "binding", reason, **given)

        def sealed(name, stamp):
            payload = f'{plain[:-1]},"stamp":"{encode(stamp[:16])}"}}'
            signing_input = f"{header}.{encode(payload.encode())}"
            token = f"{signing_input}.{encode(hs256(subkey('server'), signing_input))}"
            return rejected(f"stamp: {name}", token, "binding", reason, **given)

        bound, covered = bound_body(inputs), f"{header}.{plain[:-1]}".encode()
        if mode == "key":
            for name, other in other_bodies(inputs):
                yield keyed(name, mac(subkey("key"), other))
            for name, other in other_subkeys("key", typ, issuer):
                yield keyed(f"{name} in its subkey", mac(other, bound))
            yield keyed("a length before the body", mac(subkey("key"), frame(bound)))
            yield keyed("no body", subkey("key"))
            yield keyed("half of it", mac(subkey("key"), bound)[:16])
            continue
        for name, other in other_bodies(inputs):
            yield sealed(name, mac(subkey("stamp"), frame(other) + covered))
        for name, other in other_subkeys("stamp", typ, issuer):
            yield sealed(f"{name} in its subkey", mac(other, frame(bound) + covered))
        encoded = encode(plain[:-1].encode())
        for name, message in {
            "no length before the body": bound + covered,
            "no body": covered,
            "an empty body": frame("") + covered,
            "no header": frame(bound) + plain[:-1].encode(),
            "no payload": frame(bound) + header.encode(),
            "no dot": frame(bound) + covered.replace(b".", b"", 1),
            "the payload encoded": frame(bound) + f"{header}.{encoded}".encode(),
            "everything in a frame": frame(bound, header, plain[:-1]),
            "the body behind": covered + frame(bound),
        }.items():
            yield sealed(name, mac(subkey("stamp"), message))
        yield sealed("its last bytes", mac(subkey("stamp"), frame(bound) + covered)[16:])
        yield sealed("of the user key", mac(mac(subkey("key"), bound), covered))


def other_server_keys():
    given = inputs_of("stamp_hs256")
    inputs = complete(given)
    typ, issuer = inputs["purpose"]["typ"], inputs["authority"]["issuer"]
    payload = stamped(inputs, compact_json(claims_for(inputs, ISSUED, EXPIRES, ENTROPY)))
    signing_input = f"{issuing_header(inputs)}.{encode(payload.encode())}"
    server_key = mac(KEYED, frame("relatch/1 server", typ, issuer))
    others = [*other_subkeys("server", typ, issuer), ("derived once more", mac(server_key, b""))]
    for name, key in others:
        token = f"{signing_input}.{encode(hs256(key, signing_input))}"
        yield rejected(f"server key: {name}", token, "guard", "forged", **given)


def other_guards():
    """The user's key signs all of these."""
    given = inputs_of("key")
    inputs = complete(given)
    typ, issuer = inputs["purpose"]["typ"], inputs["authority"]["issuer"]
    claims = claims_for(inputs, ISSUED, EXPIRES, ENTROPY)
    user_key = mac(mac(KEYED, frame("relatch/1 key", typ, issuer)), bound_body(inputs))
    own = mac(KEYED, frame("relatch/1 guard", typ, issuer))
    nonce, user, exp = ENTROPY[:8], b"alice", u64(EXPIRES)

    def guarded(name, guard):
        payload = compact_json({**claims, "jti": encode(nonce + guard[:8])})
        signing_input = f"{issuing_header(inputs)}.{encode(payload.encode())}"
        token = f"{signing_input}.{encode(hs256(user_key, signing_input))}"
        return rejected(f"guard: {name}", token, "guard", "forged", **given)

    for name, message in {
        "no exp": nonce + user,
        "no nonce": exp + user,
        "no user id": exp + nonce,
        "exp and nonce exchanged": nonce + exp + user,
        "the user id first": user + exp + nonce,
        "exp of 4 bytes": u32(EXPIRES) + nonce + user,
        "a nonce of 16 bytes": exp + ENTROPY + user,
        "in a frame": frame(exp, nonce, user),
        "a length before the user id": exp + nonce + frame(user),
        "another exp": u64(EXPIRES + 1) + nonce + user,
        "another nonce": exp + bytes(8) + user,
        "another user": exp + nonce + b"bob",
        "iat for exp": u64(ISSUED) + nonce + user,
    }.items():
        yield guarded(name, mac(own, message))
    yield guarded("its last bytes", mac(own, exp + nonce + user)[-8:])
    for name, other in other_subkeys("guard", typ, issuer):
        yield guarded(f"{name} in its subkey", mac(other, exp + nonce + user))
