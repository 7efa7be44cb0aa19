"""Cases of sessions.json: logins and log-outs."""

import json

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
    session,
    table,
    tag_of,
)
from .transitions import NOW, case, rejection

THREE = [session(0), session(2, 9, seq=5, last_seen=ISSUED + 30), session(15, 3)]


def logins():
    def started(name, before, after, slot, label="Firefox on Linux", **inputs):
        """The new session is the one in `slot` of the table `after`."""
        new = next(each for each in json.loads(after)["sessions"] if each["slot"] == slot)
        inputs = {"sessions": before, "label": label, **inputs}
        return case(name, "log_in", "started", after, new, **inputs)

    def refused(name, before, label="Firefox on Linux", **inputs):
        return case(name, "log_in", "refused", before, sessions=before, label=label, **inputs)

    later = NOW * 1000

    def new(slot, generation=later, **others):
        return session(slot, generation, started_at=NOW, last_seen=NOW, **others)

    def login(name, sessions, left, slot, generation=GENERATION, **inputs):
        """The sessions in `left` stay, and one in `slot` is added."""
        after = table(*left, new(slot), generation=later)
        return started(name, table(*sessions, generation=generation), after, slot, **inputs)

    yield started("the first login", None, table(new(0), generation=later), 0)
    yield login("a login after all sessions ended", [], [], 0)
    yield login("a second login", [session(0)], [session(0)], 1)
    gap = [session(slot, GENERATION - slot) for slot in (0, 2, 3)]
    yield login("a login takes the lowest free slot", gap, gap, 1)
    yield login("a login where slot 0 is free", gap[1:], gap[1:], 0)
    for name, before, after in (
        ("a generation ahead of the clock", later + 5, later + 6),
        ("a generation equal to the clock", later, later + 1),
        ("the generation right before the clock's", later - 1, later),
        ("the last generation but one", MAX_COUNTER - 1, MAX_COUNTER),
    ):
        left = table(new(0, after), generation=after)
        yield started(f"a login at {name}", table(generation=before), left, 0)
    for name, version, after in (
        ("a version ahead of the clock", later + 5, later + 6),
        ("a version equal to the clock", later, later + 1),
        ("the last version but one", MAX_COUNTER - 1, MAX_COUNTER),
    ):
        record = {"version": version}
        left = table(new(0, after, tag=tag_of(record=record)), generation=after)
        under = {"record": record, "version": version}
        yield started(f"a login at {name}", table(), left, 0, **under)
    for name, generation, version in (
        ("the last generation", MAX_COUNTER, 3),
        ("the last version", GENERATION, MAX_COUNTER),
    ):
        inputs = {"sessions": table(generation=generation), "record": {"version": version}}
        yield case(f"a login at {name}", "log_in", "unfit_record", None, **inputs, label="")

    for name, label, clean in (
        ("is cleaned", " Fire\tfox\u202e ", "Fire fox"),
        ("is cut", "x" * 70, "x" * 64),
        ("is escaped", '"\\', '"\\'),
        ("may be empty", "", ""),
    ):
        left = table(new(0, label=clean), generation=later)
        yield started(f"a login's label {name}", None, left, 0, label=label)

    def full(most, seen=lambda slot: ISSUED):
        return [session(slot, GENERATION - slot, last_seen=seen(slot)) for slot in range(most)]

    def without(sessions, slot):
        return [each for each in sessions if each["slot"] != slot]

    def at_most(number, **others):
        return {"policy": {"max_sessions": number, **others}}

    def evicting(name, before, slot, **inputs):
        return login(name, before, without(before, slot), slot, **inputs)

    four = full(4, lambda slot: ISSUED + [3, 2, 9, 5][slot])
    yield evicting(
        "a login evicts the session that was refreshed least recently", four, 1, **at_most(4)
    )
    # The generations go down from slot 0.
    yield evicting("a login evicts the oldest generation of equals", full(4), 3, **at_most(4))
    tied = full(4, lambda slot: ISSUED + [8, 2, 2, 2][slot])
    yield evicting("a login evicts among the least recent alone", tied, 3, **at_most(4))
    yield evicting("a login evicts the only session", full(1), 0, **at_most(1))
    yield evicting("a login evicts one of 16", full(16), 15)
    recent = full(64, lambda slot: ISSUED + slot)
    yield evicting("a login evicts one of 64", recent, 0, **at_most(64))
    yield login("a login takes the last of 64 slots", recent[:63], recent[:63], 63, **at_most(64))

    strict = {"when_full": "refuse"}
    yield refused(
        "a login is refused where all slots are taken", table(*four), **at_most(4, **strict)
    )
    yield login("a login takes the last slot", four[:3], four[:3], 3, **at_most(4, **strict))

    def chosen(name, before, slot, of, **inputs):
        """The session in slot `of` ends."""
        sid = next(f"{of}.{each['generation']}" for each in before if each["slot"] == of)
        return login(name, before, without(before, of), slot, in_place_of=sid, **inputs)

    most = at_most(4, **strict)
    yield chosen("a login in place of a chosen session", four, 2, 2, **most)
    yield chosen("a login in place of another than the least recent", four, 2, 2, **at_most(4))
    yield chosen("a login in place of a session where a lower slot is free", gap, 1, 3)
    yield chosen("a login in place of the session in slot 0", gap, 0, 0)
    foreign = [*four[:3], {**four[3], "tag": OTHER_TAG}]
    yield chosen("a login in place of a session, beside one with another tag", foreign, 1, 1, **most)
    yield chosen("a login in place of one with another tag", foreign, 3, 3, **most)
    for name, sid in (
        ("another generation", f"2.{GENERATION - 1}"),
        ("a free slot", f"9.{GENERATION}"),
        ("another slot", f"1.{GENERATION - 2}"),
    ):
        yield refused(
            f"a login in place of a session in {name}", table(*four), in_place_of=sid, **most
        )
        yield login(
            f"a login in place of a session in {name}, where a slot is free",
            four[:3],
            four[:3],
            3,
            in_place_of=sid,
            **most,
        )

    for end, times in {"idle": {"idle": 60}, "absolute": {"absolute": 60}}.items():
        over = [session(0, 5, last_seen=ISSUED + 1, started_at=ISSUED + 1), session(1, 4)]
        for name, policy in {
            "two slots, where logins evict": at_most(2, **times),
            "two slots, where logins are refused": at_most(2, **times, **strict),
            "more slots": at_most(4, **times),
        }.items():
            yield login(
                f"a login ends a session at its {end} end: {name}", over, over[:1], 1, **policy
            )
        longer = {name: seconds + 1 for name, seconds in times.items()}
        name = f"a login is refused a second before the {end} end"
        yield refused(name, table(*over), **at_most(2, **longer, **strict))
        name = f"a login ends all sessions past the {end} end"
        yield login(name, full(3), [], 0, **at_most(4, **times))
    shrunk = [session(0, 7), session(2, 9), session(3, 8)]
    yield login("a login ends the sessions beyond fewer slots", shrunk, shrunk[:1], 1, **at_most(2))
    beyond = [session(0, 7), session(1, 8), session(2, 5)]
    name = "a login evicts no session beyond fewer slots instead"
    yield login(name, beyond, beyond[1:2], 0, **at_most(2))
    ahead = [session(0, last_seen=NOW + DAY, started_at=NOW + DAY)]
    yield login("a login after the clock was set back", ahead, ahead, 1)

    stamped = {"authority": STAMP}
    yield login("stamp mode: a login's refresh token is in key mode", [], [], 0, **stamped)
    yield login("a login in a context", [], [], 0, context={"email": "a@example.com"})
    absolute = {"policy": {"absolute": DAY}}
    yield login("a login's refresh token ends with the session", [], [], 0, **absolute)


def log_outs():
    later = NOW * 1000
    two = [session(0, GENERATION), session(3, 7)]

    def log_out(name, sid, before, after, generation=GENERATION, top=later, **inputs):
        sessions = table(*before, generation=generation)
        left = table(*after, generation=top)
        return case(name, "log_out", "ended", left, sessions=sessions, sid=sid, **inputs)

    def unchanged(name, sid, before):
        return case(name, "log_out", "unchanged", before, sessions=before, sid=sid)

    yield log_out("a log-out", f"0.{GENERATION}", two, two[1:])
    yield log_out("a log-out of an older session", "3.7", two, two[:1])
    yield log_out("a log-out of the only session", f"0.{GENERATION}", two[:1], [])
    name = "a log-out at a generation ahead of the clock"
    yield log_out(name, "3.7", two, two[:1], generation=later, top=later + 1)
    name = "a log-out at the last generation"
    yield log_out(name, "3.7", two, two[:1], generation=MAX_COUNTER, top=MAX_COUNTER)
    other = {"tag": OTHER_TAG, "strict": True, "data": '{"a":1.0}'}
    marked = [{**two[0], **other}, {**two[1], **other}]
    name = "a log-out leaves the members of the other sessions"
    yield log_out(name, "3.7", marked, marked[:1])
    few = {"policy": {"max_sessions": 2, "idle": 60}}
    yield log_out("a log-out beyond fewer slots", "3.7", two, two[:1], **few)
    yield log_out("a log-out of an expired session", f"0.{GENERATION}", two, two[1:], **few)
    yield unchanged("a log-out of a former session of the slot", "3.6", table(*two))
    yield unchanged("a log-out of a later session of the slot", "3.8", table(*two))
    yield unchanged("a log-out of a free slot", f"1.{GENERATION}", table(*two))
    yield unchanged("a log-out where there is no session", f"0.{GENERATION}", table())
    yield unchanged("a log-out before the first session", "0.0", None)
    yield unchanged("a log-out of a slot out of range", "65535.7", table(*two))


def log_outs_of_others():
    later = NOW * 1000

    def others(name, before, own, generation=GENERATION, token=None, **inputs):
        sessions = table(*before, generation=generation)
        after = table(own, generation=own["generation"])
        token = token or made(sid="2.9", **inputs)
        inputs = {"sessions": sessions, "token": token, "version": later, **inputs}
        return case(name, "log_out_others", "ended", after, own, **inputs)

    # Above the version, which becomes the time in milliseconds.
    tag = tag_of(record={"version": later})
    own = {**THREE[1], "generation": later + 1, "seq": 0, "tag": tag, "last_seen": NOW}
    yield others("a log-out of the others", THREE, own)
    yield others("a log-out of the others where there is none", THREE[1:2], own)
    few = {"policy": {"max_sessions": 3}}
    yield others("a log-out of others beyond fewer slots", THREE, own, **few)
    ahead = {**own, "generation": later + 3}
    name = "a log-out of the others at a generation ahead of the clock"
    yield others(name, THREE, ahead, generation=later + 2)
    bound = {"context": {"address": "192.0.2.1"}}
    yield others("a log-out of the others in a context", THREE, own, **bound)
    limited = {"policy": {"absolute": DAY}}
    yield others("a log-out of the others moves no absolute end", THREE, own, **limited)
    yield others("stamp mode: a log-out of the others", THREE, own, authority=STAMP)
    unclean = {"label": " Firefox  on Linux\u200b"}
    name = "a log-out of the others keeps a label that would be cleaned otherwise today"
    yield others(name, [{**THREE[1], **unclean}], {**own, **unclean})
    for mark in MARKS:
        name = f"a log-out of the others clears the mark {mark}"
        yield others(name, [{**THREE[1], mark: True}, THREE[0]], own)
    yield others("a log-out of the others clears both marks", [{**THREE[1], **MARKS}], own)
    given = {"ends_at": NOW + DAY, "data": '{"b":1,"a":1.0,"a":"\\u0061\\/"}', "policy": "app"}
    name = "a log-out of the others keeps the end, the data and the policy"
    named = {"policy": {"named": {"app": {"idle": 3 * DAY}}}}
    yield others(name, [THREE[0], {**THREE[1], **given}], {**own, **given}, **named)
    name = "a log-out of the others writes the tag of the new version"
    yield others(name, [{**THREE[1], "tag": OTHER_TAG}, THREE[0]], own)
    several = ["https://other.example.com", DEFAULTS["authority"]["audience"]]
    name = "a log-out of the others by a token of several audiences, with claims"
    yield others(name, THREE, own, token=made(several, {"role": "admin"}, sid="2.9"))
    name = "a log-out of the others by a token within the leeway"
    late = made(sid="2.9", exp=NOW - 299)
    yield others(name, THREE, own, token=late, authority={"leeway": 300})
    newer = {"kid": "2026-12", "master": OTHER_MASTER, "until": None}
    ring = {"keys": [newer, {**KEY, "until": NOW + 1}]}
    name = "a log-out of the others by a token of a retiring key"
    yield others(name, THREE, own, token=made(sid="2.9"), authority=ring)

    last = {"sessions": table(*THREE, generation=MAX_COUNTER), "token": made(sid="2.9")}
    name = "a log-out of the others at the last generation"
    yield case(name, "log_out_others", "unfit_record", None, **last)

    sessions = table(*THREE)

    def unchanged(name, verdict, token, sessions=sessions, version=3, **inputs):
        inputs = {"sessions": sessions, "token": token, "version": version, **inputs}
        name = f"a log-out of the others by {name}"
        return case(name, "log_out_others", verdict, sessions, **inputs)

    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}}
        name = f"a token without a session: {mode}"
        yield unchanged(name, "no_session", made(**under), **under)
    ended = table({**THREE[1], "ends_at": NOW})
    for name, sid, before, reason, policy in (
        ("an ended session", "2.8", sessions, "session_ended", {}),
        ("a session ahead", "2.10", sessions, "session_ahead", {}),
        ("a session before the first", "0.1", None, "session_ahead", {}),
        ("a slot out of range", "2.9", sessions, "slot_out_of_range", {"max_sessions": 2}),
        ("an expired session", "2.9", sessions, "session_expired", {"idle": 30}),
        ("a session at its fixed end", "2.9", ended, "session_expired", {}),
    ):
        said = rejection("session", reason)
        yield unchanged(name, said, made(sid=sid), before, policy=policy)
    good = made(sid="2.9")
    refresh = refresh_token(complete({}), THREE[1])
    bumped = {"record": {"version": 4}, "version": 4}
    changed = {"record": {"secrets": [CHANGED]}}
    stamped = {**changed, "authority": STAMP}
    for name, token, stage, reason, inputs in (
        ("a refresh token", refresh, "header", "wrong_type", {}),
        ("an expired token", made(sid="2.9", exp=NOW), "validity", "expired", {}),
        ("a token for others", made("https://x", sid="2.9"), "validity", "wrong_audience", {}),
        ("a token of another user", good, "lookup", "user_mismatch", {"record": {"id": "bob"}}),
        ("a token older than the version", good, "binding", "revoked_by_version", bumped),
        ("a token older than the password", good, "binding", "bad_signature", changed),
        ("a token without its context", made(sid="2.9", **bound), "binding", "bad_signature", {}),
        (
            "a token older than the password: stamp mode",
            made(sid="2.9", authority=STAMP),
            "binding",
            "revoked_by_stamp",
            stamped,
        ),
    ):
        yield unchanged(name, rejection(stage, reason), token, **inputs)


def log_outs_everywhere():
    later = NOW * 1000

    def everywhere(name, before, after, version=later, **inputs):
        inputs = {"sessions": before, "version": version, **inputs}
        return case(name, "log_out_everywhere", "ended", after, **inputs)

    none = table(generation=later)
    yield everywhere("a log-out everywhere", table(*THREE), none)
    yield everywhere("a log-out everywhere without sessions", table(), none)
    yield everywhere("a log-out everywhere before the first session", None, None)
    behind = table(*THREE, generation=later + 2)
    name = "a log-out everywhere at a generation ahead of the clock"
    yield everywhere(name, behind, table(generation=later + 3))
    last = table(*THREE, generation=MAX_COUNTER)
    name = "a log-out everywhere at the last generation"
    yield everywhere(name, last, table(generation=MAX_COUNTER))
    name = "a log-out everywhere at a version ahead of the clock"
    yield everywhere(name, table(*THREE), none, version=later + 8, record={"version": later + 7})
    last = {"sessions": table(*THREE), "record": {"version": MAX_COUNTER}}
    name = "a log-out everywhere at the last version"
    yield case(name, "log_out_everywhere", "unfit_record", None, **last)
