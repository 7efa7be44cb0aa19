"""Cases of tokens.json: access tokens of a session, and refresh tokens."""

import json

from format1.claims import MAX_COUNTER, MAX_NUMERIC_DATE
from format1.derivation import Derivation, body
from format1.issuing import REFRESH, refresh_token, sign
from format1.text import compact_json, decode, encode, hs256

from .common import (
    ACCESS,
    DAY,
    GENERATION,
    INVITE,
    ISSUED,
    MARKS,
    MASTER,
    OTHER_TAG,
    RESET,
    accepted,
    complete,
    made,
    payload_of,
    rejected,
    session,
    table,
    unfit,
)
from .forms import stands

TWO = table(session(0), session(1, GENERATION + 1), generation=GENERATION + 1)


def session_claims():
    """Each of these tokens is signed with the genuine key."""
    alive = {"record": {"sessions": table(session(0))}}
    yield from stands("sid", ["null", "0", "0.1", "true", '["0.1"]', '{"slot":0,"generation":1}'])
    for text in (
        *("", ".", "0", "0.", ".1", "01", "0..1", "0.1.2", ".0.1", "0.1.", "0,1", "0:1", "a.1"),
        *("00.1", "01.1", "0.00", "0.01", "+0.1", "0.+1", "-0.1", "0.-0", "-1.1", "0.-1"),
        *(" 0.1", "0.1 ", "0 .1", "0. 1", "0.1\\n", "0.1\\u0000", "0x0.1", "0.1e3", "0_0.1"),
        *("65536.1", "4294967296.1", "18446744073709551616.1", "0.9223372036854775808"),
        *("0.18446744073709551616", "0." + "1" * 40, "٠.1", "1٠.1", "0.１"),
    ):
        yield from stands("sid", [f'"{text}"'])
    plain = payload_of(made(sid=f"0.{GENERATION}"))
    member = f'"sid":"0.{GENERATION}"'
    for name, payload in {
        "sid twice": plain.replace(member, f"{member},{member}"),
        "sid twice, once escaped": plain.replace(member, member + "," + with_escape(member, "sid")),
    }.items():
        token = sign(complete({}), payload.encode())
        yield rejected(name, token, "claims", "malformed", **alive)
    token = sign(complete({}), plain.replace(f"0.{GENERATION}", f"0\\u002e{GENERATION}").encode())
    expect = {"verdict": "accepted", "claims": json.loads(plain), "lookup": True}
    yield {"name": "sid with an escape", **alive, "token": token, "expect": expect}

    for name, purpose in {"reset": RESET, "invite": INVITE}.items():
        for mode in ("key", "stamp_hs256"):
            under = {"authority": {"mode": mode}, "purpose": purpose, **alive}
            token = made(sid=f"0.{GENERATION}", **under)
            yield rejected(f"{mode}: sid in an {name} token", token, "claims", "malformed", **under)
    yield from stands("seq", ["0"])
    yield from stands("seq", ["1"], {"sid": f"0.{GENERATION}"}, **alive)


def session_checks(mode):
    under = {"authority": {"mode": mode}}

    def alive(name, sid, sessions, **seen):
        return accepted(f"{mode}: {name}", sid=sid, **under, **seen, record={"sessions": sessions})

    def dead(name, sid, sessions, reason, **seen):
        seen = {**under, **seen, "record": {"sessions": sessions}}
        return rejected(f"{mode}: {name}", made(sid=sid, **under), "session", reason, **seen)

    own = f"0.{GENERATION}"
    one = table(session(0))
    later = table(session(0), generation=GENERATION + 5)
    yield alive("a session", own, one)
    yield alive("a session, and a newer one elsewhere", own, later)
    yield alive("a session whose tokens were refreshed", own, table(session(0, seq=7)))
    yield alive("generation 1", "3.1", table(session(3, 1), generation=1))
    greatest = table(session(3, MAX_COUNTER), generation=MAX_COUNTER)
    yield alive("the greatest generation", f"3.{MAX_COUNTER}", greatest)
    yield alive("the last slot", f"15.{GENERATION}", table(session(15)))
    most = {"policy": {"max_sessions": 64}}
    yield alive("the last of 64 slots", f"63.{GENERATION}", table(session(63)), **most)
    full = table(
        *(session(slot, GENERATION + slot) for slot in range(64)), generation=GENERATION + 63
    )
    yield alive("one of 64 sessions", f"40.{GENERATION + 40}", full, **most)
    yield alive("last seen in the future", own, table(session(0, last_seen=ISSUED + DAY)))
    # Now is a minute after both times.
    for name, policy in {"idle": {"idle": 61}, "absolute": {"absolute": 61}}.items():
        yield alive(f"one second before the {name} end", own, one, policy=policy)

    yield from lifetimes(alive, dead)
    everything = {**MARKS, "ends_at": ISSUED + DAY, "data": '{"a":[1]}', "policy": "web"}
    yield alive("a session with every member", own, table(session(0, **everything)))
    yield alive("a session with the mark of a late repeat", own, table(session(0, repeated=True)))
    # The token itself proves what it is bound to.
    yield alive("a session whose tag is another record's", own, table(session(0, tag=OTHER_TAG)))

    yield accepted(f"{mode}: no sid, and no session", **under, record={"sessions": None})

    out = "slot_out_of_range"
    beyond = table(session(16))
    yield dead("the first slot out of range", f"16.{GENERATION}", beyond, out)
    yield dead("the greatest slot", f"65535.{GENERATION}", one, out)
    last = table(session(63))
    yield dead("slot 64 of 64", f"64.{GENERATION}", last, out, **most)
    fewer = {"policy": {"max_sessions": 1}}
    yield dead("fewer slots than before", f"1.{GENERATION}", table(session(1)), out, **fewer)

    yield dead("an older session of its slot", f"0.{GENERATION - 1}", one, "session_ended")
    yield dead("generation 0", "0.0", one, "session_ended")
    yield dead("a newer session of its slot", f"0.{GENERATION + 1}", later, "session_ahead")
    yield dead("ended, and the newest", f"1.{GENERATION}", one, "session_ended")
    yield dead("ended, and older", f"1.{GENERATION - 1}", one, "session_ended")
    yield dead("ended, and no session left", own, table(), "session_ended")
    yield dead("newer than any", f"1.{GENERATION + 1}", one, "session_ahead")
    yield dead(
        "newer than any of a table without sessions",
        f"0.{GENERATION + 1}",
        table(),
        "session_ahead",
    )
    yield dead("before the first session", own, None, "session_ahead")
    yield dead("generation 1 before the first session", "0.1", None, "session_ahead")
    yield dead("generation 0 before the first session", "0.0", None, "session_ended")

    lenient = {"authority": {"mode": mode, "leeway": 300}}
    for name, policy in {"idle": {"idle": 60}, "absolute": {"absolute": 60}}.items():
        yield dead(f"at the {name} end", own, one, "session_expired", policy=policy)
        yield dead(
            f"at the {name} end, in spite of a leeway",
            own,
            one,
            "session_expired",
            policy=policy,
            **lenient,
        )
    refreshed = table(session(0, last_seen=ISSUED + 59))
    absolute = {"policy": {"absolute": 60}}
    yield dead("refreshed up to the absolute end", own, refreshed, "session_expired", **absolute)

    out_of_range = f"16.{GENERATION}"
    for name, sid in (("a token of a session", own), ("a slot out of range", out_of_range)):
        token = made(sid=sid, **under)
        yield unfit(f"{mode}: {name}, a record without sessions", token, **under)
        for fault, text in {
            "cut short": one[:-1],
            "of a later format": '{"format":2}',
            "with white space": one + "\n",
            "empty": "",
        }.items():
            seen = {**under, "record": {"sessions": text}}
            yield unfit(f"{mode}: {name}, a table {fault}", token, **seen)


def lifetimes(alive, dead):
    """A minute after the login and the last refresh. `alive` and `dead` make cases."""
    own = f"0.{GENERATION}"

    def at(name, is_alive, settings=None, **members):
        sessions, seen = table(session(0, **members)), {"policy": settings} if settings else {}
        if is_alive:
            return alive(name, own, sessions, **seen)
        return dead(name, own, sessions, "session_expired", **seen)

    now = ISSUED + 60
    for name, ends_at, is_alive in (
        ("a second before its fixed end", now + 1, True),
        ("at its fixed end", now, False),
        ("a second after its fixed end", now - 1, False),
        ("a fixed end before the login", ISSUED - 1, False),
        ("a fixed end at 0", 0, False),
        ("the last fixed end", MAX_NUMERIC_DATE, True),
    ):
        yield at(name, is_alive, ends_at=ends_at)
    yield at("a fixed end after the idle end", False, {"idle": 60}, ends_at=now + DAY)
    yield at("a fixed end after the absolute end", False, {"absolute": 60}, ends_at=now + DAY)

    long, short = {"idle": DAY, "absolute": 2 * DAY}, {"idle": 60, "absolute": 60}
    for setting in ("idle", "absolute"):
        policy = {**long, "named": {"web": {**long, setting: 60}}}
        yield at(f"at the {setting} end of its named policy", False, policy, policy="web")
        yield at(f"beside a named policy with a short {setting} end", True, policy)
        policy = {**short, "named": {"web": {**long, setting: 61}}}
        name = f"a second before the {setting} end of its named policy"
        yield at(name, True, policy, policy="web")
        policy = {**long, setting: 60, "named": {"web": {}}}
        yield at(f"a named policy without {setting} has the default's", False, policy, policy="web")
        policy = {**long, "named": {"web": {setting: 60}, "app": {}}}
        name = f"an unknown policy has the least {setting}, of a named policy"
        yield at(name, False, policy, policy="gone")
        policy = {**long, setting: 60, "named": {"web": long}}
        name = f"an unknown policy has the least {setting}, of the default"
        yield at(name, False, policy, policy="gone")
        policy = {**long, setting: 61, "named": {"web": {**long, setting: 62}}}
        name = f"a second before the {setting} end of an unknown policy"
        yield at(name, True, policy, policy="gone")
    policy = {**long, "named": {"web": {"idle": 61}, "app": {"absolute": 60}}}
    name = "an unknown policy has the least of each setting, of several policies"
    yield at(name, False, policy, policy="gone")
    yield at(
        "a policy's name in another case is unknown",
        False,
        {**long, "named": {"web": short}},
        policy="Web",
    )
    yield at("an unknown policy where none is named", False, short, policy="gone")
    yield at("an unknown policy where none is named, in its time", True, long, policy="gone")


def refreshing(**overrides):
    """Inputs under which the refresh token of `session(0)` must be accepted."""
    record = {"sessions": table(session(0)), **overrides.pop("record", {})}
    return {"purpose": REFRESH, **overrides, "record": record}


def refresh_claims():
    """Each of these tokens is signed with the genuine key."""
    inputs = refreshing()
    claims = json.loads(payload_of(refresh_token(complete(inputs), session(0))))
    own = {"sid": f"0.{GENERATION}", "seq": 0}
    yield from stands("sid", ["null", '"0"', '"00.1"', '"0.01"', '"65536.1"'], own, **inputs)
    counters = ["null", '"0"', "0.0", "0e0", "-1", "-0", "true", "[0]", "9223372036854775808"]
    yield from stands("seq", counters, own, **inputs)
    yield from stands("lane", ["0"], own, **inputs)
    for mode in ("key", "stamp_hs256"):
        under = {**inputs, "authority": {"mode": mode}}
        stamped = {**claims, "stamp": "A" * 22}
        token = sign(complete(under), compact_json(stamped).encode())
        yield rejected(f"{mode}: stamp in a refresh token", token, "claims", "malformed", **under)
    for name in ("sid", "seq"):
        member = compact_json({name: claims[name]})[1:-1]
        plain = compact_json(claims)
        for fault, payload in {
            "missing": plain.replace(f",{member}", ""),
            "twice": plain.replace(member, f"{member},{member}"),
            "twice, once escaped": plain.replace(member, member + "," + with_escape(member, name)),
        }.items():
            token = sign(complete(inputs), payload.encode())
            yield rejected(f"refresh token: {name} {fault}", token, "claims", "malformed", **inputs)


def refresh_checks():
    """Refresh tokens are in key mode, and have their own `typ`."""
    for mode in ("key", "stamp_hs256"):
        inputs = refreshing(authority={"mode": mode})
        full = complete(inputs)
        at_access = {**inputs, "purpose": ACCESS}
        refresh = refresh_token(full, session(0))
        access = made(sid=f"0.{GENERATION}", **at_access)
        wrong = ("header", "wrong_type")
        yield rejected(f"{mode}: a refresh token for access", refresh, *wrong, **at_access)
        yield rejected(f"{mode}: an access token at a refresh", access, *wrong, **inputs)

        genuine = payload_of(refresh)
        derivation = Derivation(MASTER, full["authority"]["issuer"], REFRESH["typ"])
        bound = body(full["authority"], REFRESH, full["record"], {})
        header, _, signature = refresh.split(".")
        signing_input = refresh.rpartition(".")[0]
        access_key = Derivation(MASTER, full["authority"]["issuer"], ACCESS["typ"]).user_key(bound)
        for name, key in {
            "the server's key": derivation.server_key(),
            "the user's key for access": access_key,
        }.items():
            token = f"{signing_input}.{encode(hs256(key, signing_input))}"
            bad = ("binding", "bad_signature")
            yield rejected(f"{mode}: a refresh token signed by {name}", token, *bad, **inputs)
        jti = json.loads(payload_of(made(**{**at_access, "authority": {"mode": "key"}})))["jti"]
        guarded = genuine.replace(json.loads(genuine)["jti"], jti)
        token = sign(full, guarded.encode())
        name = f"{mode}: a refresh token under the guard of access"
        yield rejected(name, token, "guard", "forged", **inputs)
        for name, old, new in (
            ("sid", f'"0.{GENERATION}"', f'"1.{GENERATION + 1}"'),
            ("seq", '"seq":0', '"seq":1'),
            ("iat", f'"iat":{ISSUED}', f'"iat":{ISSUED + 1}'),
        ):
            text = genuine.replace(old, new)
            assert text != genuine
            token = f"{header}.{encode(text.encode())}.{signature}"
            seen = {**inputs, "record": {"sessions": TWO}}
            name = f"{mode}: a refresh token, tampered: {name}"
            yield rejected(name, token, "binding", "bad_signature", **seen)
        owned = sign(full, (genuine[:-1] + ',"role":"admin"}').encode())
        name = f"{mode}: a refresh token with a claim of the application"
        yield rejected(name, owned, "application", "application_claims", **inputs)
        # The session is checked first.
        ended = {**inputs, "record": {"sessions": table()}}
        yield rejected(f"{name}, ended", owned, "session", "session_ended", **ended)

    for mode, stage, reason in (
        ("key", "binding", "bad_signature"),
        ("stamp_hs256", "guard", "forged"),
    ):
        under = {"authority": {"mode": mode}, "record": {"sessions": TWO}}
        header, payload, signature = made(sid=f"0.{GENERATION}", **under).split(".")
        text = decode(payload).decode().replace(f"0.{GENERATION}", f"1.{GENERATION + 1}")
        token = f"{header}.{encode(text.encode())}.{signature}"
        yield rejected(f"{mode}: tampered: sid of another session", token, stage, reason, **under)


def with_escape(member, name):
    """The member with the first letter of its name as an escape."""
    return member.replace(name[0], f"\\u{ord(name[0]):04x}", 1)
