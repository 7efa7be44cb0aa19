"""Claims that this release does not define, and therefore rejects."""

import json

from format1.claims import RESERVED
from format1.issuing import REFRESH, refresh_token, sign

from .common import (
    ACCESS,
    INVITE,
    RESET,
    STAMP,
    accepted,
    complete,
    made,
    payload_of,
    rejected,
    sealed,
    session,
    table,
)

MALFORMED = ("claims", "malformed")
NAMES = ["nbf", *RESERVED]


def reserved():
    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}}
        for name in NAMES:
            token = made(own={name: 1 if name == "nbf" else "a"}, **under)
            yield rejected(f"{mode}: reserved name {name}", token, *MALFORMED, **under)
    plain = payload_of(made())
    for name, text in {
        "null": "null",
        "an object": "{}",
        "an array": "[]",
        "false": "false",
    }.items():
        for claim in ("cnf", "nbf"):
            payload = f'{{"{claim}":{text},{plain[1:]}'
            token = sign(complete({}), payload.encode())
            yield rejected(f"{claim} that is {name}", token, *MALFORMED)
    for claim in ("sc\\u006fpe", "\\u0063nf", "\\u006ebf"):
        payload = f'{plain[:-1]},"{claim}":"a"}}'
        token = sign(complete({}), payload.encode())
        yield rejected(f"reserved name with an escape: {claim}", token, *MALFORMED)
        token = sealed(payload, authority=STAMP)
        name = f"stamp mode: reserved name with an escape: {claim}"
        yield rejected(name, token, *MALFORMED, authority=STAMP)

    refreshing = {"purpose": REFRESH, "record": {"sessions": table(session(0))}}
    genuine = json.loads(payload_of(refresh_token(complete(refreshing), session(0))))
    purposes = {"refresh": refreshing, "reset": {"purpose": RESET}, "invite": {"purpose": INVITE}}
    for purpose, inputs in purposes.items():
        claims = genuine if purpose == "refresh" else json.loads(payload_of(made(**inputs)))
        for name in ("nbf", "client_id", "cnf", "nonce", "events"):
            payload = json.dumps({**claims, name: "a"})
            token = sign(complete(inputs), payload.encode())
            title = f"reserved name {name} in a token of the purpose {purpose}"
            yield rejected(title, token, *MALFORMED, **inputs)

    inner = {"profile": {name: "a" for name in NAMES}}
    near = {"Scope": "a", "client": "b", "scopes": "c", "nbf_": "d", "crit": "e", "b64": "f"}
    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}, "purpose": ACCESS}
        yield accepted(f"{mode}: reserved names inside a claim", own=inner, **under)
        yield accepted(f"{mode}: names like reserved ones", own=near, **under)
