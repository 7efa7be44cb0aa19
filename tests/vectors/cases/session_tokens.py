"""Cases of tokens.json: access tokens of a session, and refresh tokens."""

import json

from format1.claims import MAX_COUNTER
from format1.derivation import Derivation, body
from format1.issuing import REFRESH, refresh_token, sign
from format1.text import compact_json, decode, encode, hs256

from .common import (
    ACCESS,
    DAY,
    GENERATION,
    INVITE,
    ISSUED,
    MASTER,
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
        *("4294967296.1", "18446744073709551616.1", "0.9223372036854775808"),
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
    yield from stands("nbf", ["1800000001"], {"sid": f"0.{GENERATION}"}, **alive)


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

    yield accepted(f"{mode}: no sid, and no session", **under, record={"sessions": None})

    out = "slot_out_of_range"
    beyond = table(session(16))
    yield dead("the first slot out of range", f"16.{GENERATION}", beyond, out)
    yield dead("the greatest slot", f"4294967295.{GENERATION}", one, out)
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

    yield unfit(f"{mode}: a record without sessions", made(sid=own, **under), **under)


def refreshing(**overrides):
    """Inputs under which the refresh token of `session(0)` must be accepted."""
    record = {"sessions": table(session(0)), **overrides.pop("record", {})}
    return {"purpose": REFRESH, **overrides, "record": record}


def refresh_claims():
    """Each of these tokens is signed with the genuine key."""
    inputs = refreshing()
    claims = json.loads(payload_of(refresh_token(complete(inputs), session(0))))
    own = {"sid": f"0.{GENERATION}", "seq": 0}
    yield from stands("sid", ["null", '"0"', '"00.1"', '"0.01"', '"4294967296.1"'], own, **inputs)
    counters = ["null", '"0"', "0.0", "0e0", "-1", "-0", "true", "[0]", "9223372036854775808"]
    yield from stands("seq", counters, own, **inputs)
    yield from stands("nbf", ["1800000000"], own, **inputs)
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
