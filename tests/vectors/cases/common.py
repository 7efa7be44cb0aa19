"""Common inputs, and the functions that build cases from them."""

import json

from format1.claims import shown
from format1.derivation import session_tag
from format1.issuing import ACCESS, issue, sign, stamped
from format1.table import MEMBERS, Table
from format1.text import decode, encode
from format1.verdicts import with_defaults

ISSUED = 1800000000
EXPIRES = ISSUED + 900
DAY = 86400
ENTROPY = bytes(range(16))
MASTER = bytes(range(32)).hex()
OTHER_MASTER = bytes(range(100, 132)).hex()
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4"
REHASHED = HASH.replace("m=19456,t=2", "m=65536,t=3")
CHANGED = HASH.replace("YWJj", "eHl6")

KEY = {"kid": "2026-11", "master": MASTER, "until": None}
RESET = {"typ": "reset+jwt", "lane": True, "strings": [], "portable": False}
INVITE = {"typ": "invite+jwt", "lane": False, "strings": [], "portable": False}
ADMIN = {"typ": "admin+jwt", "lane": False, "strings": ["role"], "portable": False}
PARTNER = {"typ": "partner+jwt", "lane": True, "strings": [], "portable": True}
STAMP = {"mode": "stamp_hs256"}

DEFAULTS = {
    "authority": {
        "issuer": "https://login.example.com",
        "audience": "https://api.example.com",
        "mode": "key",
        "leeway": 0,
        "max_token_bytes": 4096,
        "keys": [KEY],
        "epochs": [],
        "user_epochs": [],
    },
    "purpose": ACCESS,
    "policy": {
        "max_sessions": 16,
        "idle": 14 * DAY,
        "absolute": 90 * DAY,
        "grace": 10,
        "late_repeat": None,
        "on_reuse": "session",
        "when_full": "evict",
        "max_data_bytes": 128,
        "named": {},
    },
    "now": ISSUED + 60,
    "context": {},
    "record": {
        "id": "alice",
        "secrets": [HASH],
        "version": 3,
        "active": True,
        "carried": None,
        "epochs": [],
        "lane": 0,
    },
}


def realm(counter):
    return {"kind": "realm", "counter": counter}


def tenant(instance, counter):
    return {"kind": "tenant", "instance": instance, "counter": counter}


# Generations are milliseconds, unless a clock was wrong.
GENERATION = ISSUED * 1000


def complete(overrides):
    return with_defaults(DEFAULTS, overrides)


def tag_of(**overrides):
    inputs = complete(overrides)
    return session_tag(inputs["authority"], inputs["record"])


TAG = tag_of()
OTHER_TAG = tag_of(record={"secrets": [CHANGED]})
# A session that has both.
MARKS = {"repeated": True, "strict": True}


def session(slot, generation=GENERATION, **others):
    """A session of the default record."""
    times = {"started_at": ISSUED, "last_seen": ISSUED}
    plain = {"seq": 0, "tag": TAG, **times, "label": "Firefox on Linux"}
    return ordered({"slot": slot, "generation": generation, **plain, **others})


def ordered(session):
    return {name: session[name] for name in MEMBERS if name in session}


def table(*sessions, generation=GENERATION):
    return Table(generation, sessions).text()


def made(audience=None, own=None, iat=ISSUED, exp=EXPIRES, sid=None, **overrides):
    """A token issued under these inputs."""
    session = None if sid is None else {"sid": sid}
    return issue(complete(overrides), iat, exp, ENTROPY, audience, own, session)


def accepted(
    name, audience=None, own=None, iat=ISSUED, exp=EXPIRES, sid=None, seen=None, **overrides
):
    """Issued under the overrides and accepted under them, or under `seen` instead."""
    token = made(audience, own, iat, exp, sid, **overrides)
    claims = json.loads(payload_of(token))
    expect = {"verdict": "accepted", "claims": shown(claims), "lookup": True}
    return {"name": name, **(overrides if seen is None else seen), "token": token, "expect": expect}


def rejected(name, token, stage, reason, **seen):
    # The lookup is after the stage `validity` and before the stages that need the record.
    asked = stage in ("lookup", "binding", "session", "application")
    expect = {"verdict": "rejected", "stage": stage, "reason": reason, "lookup": asked}
    return {"name": name, **seen, "token": token, "expect": expect}


def unfit(name, token, **seen):
    expect = {"verdict": "unfit_record", "lookup": True}
    return {"name": name, **seen, "token": token, "expect": expect}


def capped(most):
    return {"authority": {"max_token_bytes": most}}


def payload_of(token):
    return decode(token.split(".")[1]).decode()


def edited(old, new, **overrides):
    """The payload of a genuine token, with the only occurrence of `old` replaced."""
    payload = payload_of(made(**overrides))
    assert payload.count(old) == 1, (old, payload)
    return payload.replace(old, new)


def tampered(old, new, **overrides):
    """An edited payload under the signature of the genuine one."""
    header, _, signature = made(**overrides).split(".")
    return f"{header}.{encode(edited(old, new, **overrides).encode())}.{signature}"


def resigned(old, new, **overrides):
    """An edited payload, signed with the genuine key. In stamp mode it keeps its stamp."""
    return sign(complete(overrides), edited(old, new, **overrides).encode())


def sealed(payload, header=None, **overrides):
    """A payload without a stamp, stamped and signed with the genuine key."""
    inputs = complete(overrides)
    return sign(inputs, stamped(inputs, payload, header).encode(), header)
