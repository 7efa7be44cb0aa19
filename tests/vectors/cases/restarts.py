"""Cases of sessions.json: restarts of a session, and its data."""

from format1.claims import MAX_COUNTER
from format1.issuing import refresh_token

from .common import (
    CHANGED,
    DAY,
    DEFAULTS,
    GENERATION,
    ISSUED,
    KEY,
    MARKS,
    OTHER_MASTER,
    OTHER_TAG,
    STAMP,
    complete,
    made,
    realm,
    session,
    table,
    tag_of,
    tenant,
)
from .tables import data_of
from .transitions import NOW, case, rejection

EVERYTHING = {
    "ends_at": NOW + DAY,
    "data": '{"b":1,"a":1.0,"a":"\\u0061\\/"}',
    "policy": "app",
    "label": " Firefox  on Linux\u200b",
}
THREE = [session(0), session(2, 9, seq=5, last_seen=ISSUED + 30), session(15, 3)]


def restarts():
    later = NOW * 1000

    def restarted(name, own, before=THREE, generation=GENERATION, token=None, **inputs):
        sessions = table(*before, generation=generation)
        others = [each for each in before if each["slot"] != own["slot"]]
        after = table(*others, own, generation=own["generation"])
        token = token or made(sid="2.9", **inputs)
        inputs = {"sessions": sessions, "token": token, **inputs}
        name = f"a restart{name}"
        return case(name, "restart", "restarted", after, own, **inputs)

    own = session(2, later, started_at=NOW, last_seen=NOW)
    yield restarted("", own)
    yield restarted(" of the only session", own, THREE[1:2])
    for mark in MARKS:
        marked = [{**THREE[1], mark: True}, {**THREE[2], mark: True}]
        yield restarted(f" clears the mark {mark} of its session alone", own, marked)
    marked = [{**each, **MARKS} for each in THREE[1:]]
    yield restarted(" clears both marks of its session alone", own, marked)
    full = [{**THREE[1], **EVERYTHING}]
    name = " keeps the end, the data, the policy and the label"
    yield restarted(name, {**own, **EVERYTHING}, full, policy={"named": {"app": {"idle": 3 * DAY}}})
    yield restarted(" writes the tag of the record", own, [{**THREE[1], "tag": OTHER_TAG}])
    others = [THREE[1], {**THREE[0], "tag": OTHER_TAG}]
    yield restarted(" leaves the tags of the others", own, others)
    for name, generation, after in (
        (" at a generation ahead of the clock", later + 2, later + 3),
        (" at a generation equal to the clock", later, later + 1),
        (" at the last generation but one", MAX_COUNTER - 1, MAX_COUNTER),
    ):
        yield restarted(name, {**own, "generation": after}, generation=generation)
    ahead = {"version": later + 5}
    moved = {**own, "generation": later + 6, "tag": tag_of(record=ahead)}
    yield restarted(" at a version ahead of the clock", moved, record=ahead, version=later + 5)
    yield restarted(" beside sessions beyond fewer slots", own, policy={"max_sessions": 3})
    expired = [{**THREE[0], "ends_at": ISSUED}, THREE[1]]
    yield restarted(" beside an expired session", own, expired)
    old = [{**THREE[1], "started_at": ISSUED - 80 * DAY}]
    yield restarted(" moves the absolute end", own, old)
    yield restarted(" in a context", own, context={"address": "192.0.2.1"})
    yield restarted(": stamp mode", own, authority=STAMP)
    counted = {"epochs": [realm(1)], "user_epochs": ["tenant"]}
    grouped = {"authority": counted, "record": {"epochs": [tenant("acme", 7)]}}
    yield restarted(" under epochs", {**own, "tag": tag_of(**grouped)}, **grouped)
    several = ["https://other.example.com", DEFAULTS["authority"]["audience"]]
    name = " by a token of several audiences, with claims"
    yield restarted(name, own, token=made(several, {"role": "admin"}, sid="2.9"))
    newer = {"kid": "2026-12", "master": OTHER_MASTER, "until": None}
    ring = {"keys": [newer, {**KEY, "until": NOW + 1}]}
    yield restarted(" by a token of a retiring key", own, token=made(sid="2.9"), authority=ring)

    last = {"sessions": table(*THREE, generation=MAX_COUNTER), "token": made(sid="2.9")}
    yield case("a restart at the last generation", "restart", "unfit_record", None, **last)

    sessions = table(*THREE)

    def unchanged(name, verdict, token, sessions=sessions, version=3, **inputs):
        inputs = {"sessions": sessions, "token": token, "version": version, **inputs}
        return case(f"a restart by {name}", "restart", verdict, sessions, **inputs)

    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}}
        yield unchanged(f"a token without a session: {mode}", "no_session", made(**under), **under)
    fixed = table({**THREE[1], "ends_at": NOW})
    for name, sid, before, reason, policy in (
        ("an ended session", "2.8", sessions, "session_ended", {}),
        ("a session ahead", "2.10", sessions, "session_ahead", {}),
        ("a slot out of range", "2.9", sessions, "slot_out_of_range", {"max_sessions": 2}),
        ("an expired session", "2.9", sessions, "session_expired", {"idle": 30}),
        ("a session at its fixed end", "2.9", fixed, "session_expired", {}),
    ):
        yield unchanged(name, rejection("session", reason), made(sid=sid), before, policy=policy)
    good, refresh = made(sid="2.9"), refresh_token(complete({}), THREE[1])
    bumped = {"record": {"version": 4}, "version": 4}
    changed = {"record": {"secrets": [CHANGED]}}
    for name, token, stage, reason, inputs in (
        ("a refresh token", refresh, "header", "wrong_type", {}),
        ("a token older than the version", good, "binding", "revoked_by_version", bumped),
        ("a token older than the password", good, "binding", "bad_signature", changed),
    ):
        yield unchanged(name, rejection(stage, reason), token, **inputs)


def data():
    def written(name, own, new, sid="2.9", before=THREE, verdict="set", **inputs):
        after = [own if each["slot"] == own["slot"] else each for each in before]
        inputs = {"sessions": table(*before), "sid": sid, "data": new, **inputs}
        return case(f"data: {name}", "set_data", verdict, table(*after), **inputs)

    plain, some = THREE[1], '{"tenant":"acme"}'
    full = {**plain, **EVERYTHING, "repeated": True}
    with_data = [THREE[0], full, {**THREE[2], "data": '{"x":"y"}'}]
    yield written("added", {**plain, "data": some}, some)
    yield written("replaced", {**full, "data": some}, some, before=with_data)
    yield written("replaced by the same", full, full["data"], before=with_data)
    without = {name: full[name] for name in full if name != "data"}
    yield written("removed", without, None, before=with_data)
    yield written("removed where there is none", plain, None)
    for name, text in {
        "an empty object": "{}",
        "names that repeat": '{"a":1,"a":2}',
        "names in another order": '{"b":1,"a":2}',
        "numbers of other forms": '{"a":1.0,"b":1e2,"c":-0,"d":123456789012345678901234567890}',
        "escapes that are not needed": '{"a":"\\u0061\\/\\u00e9"}',
        "white space in strings": '{"a b":" c\\n "}',
        "text beyond ASCII": '{"имя":"Алиса 🔑"}',
        "inner objects and arrays": '{"a":[1,[true,false,null],{"b":{}}]}',
    }.items():
        yield written(f"{name}, byte for byte", {**plain, "data": text}, text)
    text = data_of(128)
    yield written("128 bytes", {**plain, "data": text}, text)
    most = data_of(512)
    yield written("512 bytes", {**plain, "data": most}, most, policy={"max_data_bytes": 512})
    few = {"policy": {"max_data_bytes": 2}}
    yield written("2 bytes where 2 are allowed", {**plain, "data": "{}"}, "{}", **few)
    yield written("removed where none is allowed", plain, None, policy={"max_data_bytes": 0})

    expired = [THREE[0], {**plain, "ends_at": ISSUED}]
    yield written("of an expired session", {**expired[1], "data": some}, some, before=expired)
    yield written("beyond fewer slots", {**plain, "data": some}, some, policy={"max_sessions": 1})
    other = [{**plain, "tag": OTHER_TAG}]
    yield written("of a session with another tag", {**other[0], "data": some}, some, before=other)

    def kept(name, verdict, new, sid="2.9", before=tuple(with_data), **inputs):
        return written(name, before[0], new, sid, before, verdict, **inputs)

    for name, sid in {
        "a former session of the slot": "2.8",
        "a later session of the slot": "2.10",
        "a free slot": "1.9",
        "a slot out of range": "65535.9",
    }.items():
        yield kept(f"of {name}", "unchanged", some, sid)
    yield kept("removed from a former session", "unchanged", None, "2.8")
    inputs = {"sessions": None, "sid": "0.1", "data": some}
    yield case("data: before the first session", "set_data", "unchanged", None, **inputs)
    long = ("data_too_long", data_of(129))
    yield kept("129 bytes", *long)
    yield kept("128 characters and 129 bytes", "data_too_long", data_of(127).replace("x", "é", 2))
    yield kept(
        "of 3 bytes where 2 are allowed", "data_too_long", '{"":1}', policy={"max_data_bytes": 2}
    )
    yield kept(
        "an empty object where none is allowed", "data_too_long", "{}", policy={"max_data_bytes": 0}
    )
    yield kept(
        "of 513 bytes where 512 are allowed",
        "data_too_long",
        data_of(513),
        policy={"max_data_bytes": 512},
    )
    yield kept("129 bytes for a session that is not there", *long, sid="1.9")
