"""Cases of sessions.json: late repeats of a refresh, and their marks."""

from format1.claims import MAX_COUNTER

from .common import DAY, MARKS, OTHER_TAG, STAMP, TAG, session, table
from .refreshes import LENIENT, at_seq, refreshed
from .transitions import NOW, rejection

HOUR = 3600
LATE = {"policy": {"late_repeat": HOUR}}
OTHER = session(3, 8)


def late(**settings):
    return {"policy": {**LATE["policy"], **settings}}


def late_repeats():
    def repeated(name, now, marked=True, seq=6, inputs=LATE, **members):
        """The answer was never used. `marked` is whether the session has the mark after it."""
        current, before = at_seq(seq, **members)
        after = {**current, "repeated": True} if marked else current
        tables = (table(current, OTHER), table(after, OTHER), after)
        return refreshed(name, "repeated", before, *tables, now=now, **inputs)

    yield repeated("late: a second after the grace", NOW + 11)
    yield repeated("late: an hour after the refresh", NOW + HOUR)
    yield repeated("late: after the first refresh", NOW + 11, seq=1)
    yield repeated("late: after the last refresh", NOW + 11, seq=MAX_COUNTER)
    yield repeated("late: a second after the longest grace", NOW + 61, inputs=late(grace=60))
    yield repeated("late: in the same second, without a grace", NOW, inputs=late(grace=0))
    yield repeated("late: a second later, without a grace", NOW + 1, inputs=late(grace=0))
    yield repeated(
        "late: the shortest bound, without a grace", NOW + 1, inputs=late(grace=0, late_repeat=1)
    )
    longest = late(late_repeat=30 * DAY, idle=40 * DAY)
    yield repeated("late: at the longest bound", NOW + 30 * DAY, inputs=longest)
    set_back = {"last_seen": NOW + 2 * HOUR}
    name = "late: after the clock was set back by the bound"
    yield repeated(name, NOW + HOUR, **set_back)
    name = "late: after the clock was set back a second beyond the grace"
    yield repeated(name, NOW + 2 * HOUR - 11, **set_back)
    yield repeated("late: with a leeway", NOW + HOUR, inputs={**LATE, **LENIENT})
    yield repeated("late: stamp mode", NOW + 11, inputs={**LATE, "authority": STAMP})
    bound = {**LATE, "context": {"address": "192.0.2.1"}}
    yield repeated("late: in a context", NOW + 11, inputs=bound)
    yield repeated("late: where reuse ends all sessions", NOW + 11, inputs=late(on_reuse="all"))
    members = {"ends_at": NOW + DAY, "data": '{"b":1,"a":1.0}', "label": " x "}
    yield repeated("late: the other members stay", NOW + 11, **members)
    yield repeated("late: the tag stays", NOW + 11, tag=OTHER_TAG)
    named = {"policy": {"named": {"app": {"late_repeat": HOUR}}}}
    yield repeated("late: by a named policy", NOW + 11, inputs=named, policy="app")
    other = late(named={"app": {"idle": DAY}})
    yield repeated(
        "late: a named policy without a bound has the default's",
        NOW + 11,
        inputs=other,
        policy="app",
    )

    yield repeated("within the grace there is no mark", NOW + 10, marked=False)
    yield repeated("within the grace after the clock was set back", NOW - 10, marked=False)
    yield repeated("late, again", NOW + HOUR, repeated=True)
    yield repeated("late, again in the same second", NOW + 11, repeated=True)
    yield repeated("within the grace after a late repeat", NOW + 10, repeated=True)
    name = "within the grace after a late repeat that the policy no longer allows"
    yield repeated(name, NOW + 10, inputs={}, repeated=True)
    yield repeated("strict: within the grace", NOW + 10, strict=True)
    yield repeated("strict: in the same second", NOW, strict=True)
    yield repeated("strict: after the clock was set back by the grace", NOW - 10, strict=True)
    yield repeated("strict: within the grace, again", NOW + 10, **MARKS)
    name = "strict: within the grace, where late repeats are not allowed now"
    yield repeated(name, NOW + 10, inputs={}, strict=True)
    yield repeated("strict: the other members stay", NOW + 10, strict=True, **members)
    yield repeated("strict: the tag stays", NOW + 10, strict=True, tag=OTHER_TAG)


def late_reuses():
    def reused(name, now=NOW + 11, left=(OTHER,), back=1, inputs=LATE, **members):
        current, before = at_seq(6, **members)
        before = {**before, "seq": current["seq"] - back}
        after = table(*left, generation=now * 1000)
        said = rejection("session", "refresh_reused")
        tables = (table(current, OTHER), after)
        return refreshed(name, said, before, *tables, now=now, **inputs)

    yield reused("reuse a second after the bound of late repeats", NOW + HOUR + 1)
    longest = late(late_repeat=30 * DAY, idle=40 * DAY)
    yield reused("reuse a second after the longest bound", NOW + 30 * DAY + 1, inputs=longest)
    set_back = {"last_seen": NOW + 2 * HOUR}
    name = "reuse after the clock was set back a second beyond the bound"
    yield reused(name, NOW + HOUR - 1, **set_back)
    name = "reuse a second after the bound, within the leeway"
    yield reused(name, NOW + HOUR + 1, inputs={**LATE, **LENIENT})
    yield reused(
        "reuse a second after the bound of late repeats, marked", NOW + HOUR + 1, repeated=True
    )
    yield reused(
        "reuse of a marked session where late repeats are not allowed", inputs={}, repeated=True
    )
    yield reused("reuse of a strict session a second after the grace", strict=True)
    yield reused("reuse of a strict session a second after the grace, marked", **MARKS)
    yield reused(
        "reuse of a strict session without a grace", NOW, inputs=late(grace=0), strict=True
    )
    yield reused("reuse of the last token but one, where late repeats are allowed", back=2)
    yield reused("reuse of the last token but one after a late repeat", back=2, repeated=True)
    name = "reuse of a strict session that ends all sessions"
    yield reused(name, left=(), inputs=late(on_reuse="all"), strict=True)
    plain = late(named={"web": {"late_repeat": None}})
    yield reused("reuse under a named policy without late repeats", inputs=plain, policy="web")
    several = late(named={"web": {"late_repeat": HOUR}})
    yield reused(
        "reuse under an unknown policy, which allows no late repeats", inputs=several, policy="gone"
    )
    grace = {"policy": {"named": {"web": {"grace": 5}}}}
    yield reused("reuse after the grace of a named policy", NOW + 6, inputs=grace, policy="web")
    yield reused(
        "reuse after the least grace under an unknown policy", NOW + 6, inputs=grace, policy="gone"
    )
    lower = {"policy": {"grace": 5, "named": {"web": {"grace": 10}}}}
    name = "reuse after the default's grace, the least, under an unknown policy"
    yield reused(name, NOW + 6, inputs=lower, policy="gone")
    short = late(named={"web": {"late_repeat": 60}})
    yield reused(
        "reuse a second after the bound of a named policy", NOW + 61, inputs=short, policy="web"
    )


def graces():
    """The grace is that of the session's policy."""

    def repeated(name, now, inputs, **members):
        current, before = at_seq(6, **members)
        same = table(current, OTHER)
        return refreshed(name, "repeated", before, same, same, current, now=now, **inputs)

    longer = {"policy": {"named": {"app": {"grace": 60}}}}
    yield repeated("again at the end of a named policy's grace", NOW + 60, longer, policy="app")
    yield repeated(
        "again at the end of the least grace under an unknown policy",
        NOW + 10,
        longer,
        policy="gone",
    )
    none = {"policy": {"grace": 0, "named": {"app": {"grace": 10}}}}
    yield repeated(
        "again under a named policy, where the default has no grace", NOW + 10, none, policy="app"
    )


def marked_rotations():
    def rotated(name, after, inputs=LATE, now=NOW + HOUR, **members):
        """`after` has the members that the rotation changes, beside `seq` and `last_seen`."""
        current, _ = at_seq(6, **members)
        kept = {key: current[key] for key in current if key not in ("repeated", "strict")}
        changed = {**kept, "seq": 7, "last_seen": now, **after}
        tables = (table(current, OTHER), table(changed, OTHER), changed)
        return refreshed(name, "rotated", current, *tables, now=now, **inputs)

    yield rotated("a refresh after a late repeat is strict", {"strict": True}, repeated=True)
    name = "a refresh after a late repeat is strict, where late repeats are not allowed now"
    yield rotated(name, {"strict": True}, inputs={}, repeated=True)
    name = "a refresh after a late repeat is strict, in the same second"
    yield rotated(name, {"strict": True}, now=NOW, repeated=True)
    yield rotated("a refresh of a session with both marks is strict", {"strict": True}, **MARKS)
    name = "a refresh of a session with both marks, without late repeats"
    yield rotated(name, {"strict": True}, inputs={}, **MARKS)
    yield rotated("a refresh of a strict session removes the mark", {}, strict=True)
    yield rotated("a refresh of a strict session, without late repeats", {}, inputs={}, strict=True)
    yield rotated("a refresh where late repeats are allowed", {})
    yield rotated("a refresh writes the tag of the record", {"tag": TAG}, inputs={}, tag=OTHER_TAG)
    everything = {
        "ends_at": NOW + DAY,
        "data": '{"b":1,"a":1.0,"a":"\\u0061\\/","c":[{},null]}',
        "policy": "app",
        "label": " Firefox  on Linux\u200b",
    }
    named = late(named={"app": {"idle": 2 * DAY, "absolute": 3 * DAY}})
    name = "a refresh keeps the end, the data, the policy and the label"
    yield rotated(name, {"strict": True}, inputs=named, repeated=True, **everything)
    plain = {"policy": "gone"}
    yield rotated("a refresh under an unknown policy", {}, inputs=named, **plain)
    # Each of these is the `exp` of the new token.
    yield rotated("a refresh up to the fixed end", {}, inputs={}, ends_at=NOW + 2 * HOUR)
    yield rotated(
        "a refresh up to the fixed end, a second before it", {}, inputs={}, ends_at=NOW + HOUR + 1
    )
    yield rotated(
        "a refresh up to the idle end, before the fixed end", {}, inputs={}, ends_at=NOW + 80 * DAY
    )
    absolute = {"policy": {"absolute": DAY}}
    yield rotated(
        "a refresh up to the absolute end, before the fixed end",
        {},
        inputs=absolute,
        ends_at=NOW + 2 * DAY,
    )
    for setting in ("idle", "absolute"):
        policy = {"policy": {"named": {"app": {setting: 2 * HOUR}}}}
        yield rotated(
            f"a refresh up to the {setting} end of its policy", {}, inputs=policy, policy="app"
        )
        yield rotated(f"a refresh up to the least {setting} end", {}, inputs=policy, policy="gone")


def late_ends():
    """The end of the session is before the late repeat."""

    def unchanged(
        name, reason, now, stage="session", seen=None, inputs=LATE, issued=None, **members
    ):
        current, before = at_seq(6, **members)
        same = table(current, OTHER)
        said, seen = rejection(stage, reason), seen or before
        return refreshed(name, said, seen, same, same, issued=issued, now=now, **inputs)

    idle = late(idle=600)
    name = "late: at the idle end"
    yield unchanged(name, "session_expired", NOW + 600, inputs=idle, issued={"policy": {}})
    fixed = {"ends_at": NOW + 600}
    name = "late: at the fixed end"
    yield unchanged(name, "expired", NOW + 600, "validity", **fixed)
    # The leeway is only for the token's own `exp`.
    lenient = {**LATE, **LENIENT}
    yield unchanged(
        "late: at the fixed end, in spite of a leeway",
        "session_expired",
        NOW + 600,
        inputs=lenient,
        **fixed,
    )
    name = "refresh at the fixed end, in spite of a leeway"
    current = session(0, seq=6, last_seen=NOW, **fixed)
    yield unchanged(name, "session_expired", NOW + 600, seen=current, inputs=lenient, **fixed)
    yield unchanged(
        "a seq ahead of a marked session",
        "refresh_ahead",
        NOW + 11,
        seen={**current, "seq": 7},
        repeated=True,
    )
    name = "refresh at the end of a policy that is unknown"
    gone = {"policy": {"named": {"web": {"idle": 600}}}}
    issued = {"policy": {"named": {}}}
    yield unchanged(
        name,
        "session_expired",
        NOW + 600,
        seen=session(0, seq=6, last_seen=NOW),
        inputs=gone,
        issued=issued,
        policy="gone",
    )
