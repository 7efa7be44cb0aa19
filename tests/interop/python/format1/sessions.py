"""Sessions: the transitions of the table, given the time, the policy and the record's tag."""

from .claims import MAX_COUNTER
from .label import clean
from .policies import is_expired, settings_of
from .rejection import Rejected, UnfitRecord
from .table import Table


class Refused(Exception):
    """There is no transition, though token and record are valid."""

    def __init__(self, verdict):
        super().__init__(verdict)
        self.verdict = verdict


def sid_of(session):
    return f"{session['slot']}.{session['generation']}"


def next_counter(current, now):
    if current == MAX_COUNTER:
        raise UnfitRecord("exhausted")
    return max(current + 1, now * 1000)


def generation_after(table, now):
    """The top of a table that loses sessions. At the end of the range it stays as it is."""
    is_last = table.generation == MAX_COUNTER
    return table.generation if is_last else next_counter(table.generation, now)


def check(table, policy, now, sid):
    """The session of a `sid`, if it is alive."""
    slot, generation = map(int, sid.split("."))
    if slot >= policy["max_sessions"]:
        raise Rejected("session", "slot_out_of_range")
    session = table.get(slot)
    newest = session["generation"] if session else table.generation
    if generation > newest:
        raise Rejected("session", "session_ahead")
    if session is None or generation < newest:
        raise Rejected("session", "session_ended")
    if is_expired(session, policy, now):
        raise Rejected("session", "session_expired")
    return session


def is_in_its_time(session, policy, now):
    return session["slot"] < policy["max_sessions"] and not is_expired(session, policy, now)


def listed(table, policy, now, tag):
    """The sessions whose refresh tokens would be accepted."""
    return [
        session
        for session in table.sessions
        if session["tag"] == tag and is_in_its_time(session, policy, now)
    ]


def start(table, policy, now, version, tag, given):
    """A login: the table after it, and the new session.

    `given` has the `label`, and `data`, `policy`, `ends_at` and `in_place_of` as far as there are such.
    """
    given = {**given}
    chosen = given.pop("in_place_of", None)
    check_data(policy, given.get("data"))
    if given.get("ends_at", now + 1) <= now:
        raise Refused("ends_at_passed")
    kept = [session for session in table.sessions if is_in_its_time(session, policy, now)]
    kept = [session for session in kept if sid_of(session) != chosen]
    if len(kept) == policy["max_sessions"]:
        kept.remove(replaced(kept, policy, tag))
    generation = next_counter(max(table.generation, version), now)
    session = {
        **given,
        "slot": min(set(range(policy["max_sessions"])) - {session["slot"] for session in kept}),
        "generation": generation,
        "seq": 0,
        "tag": tag,
        "started_at": now,
        "last_seen": now,
        "label": clean(given["label"]),
    }
    return Table(generation, [*kept, session]), session


def replaced(full, policy, tag):
    """The session whose slot a login takes."""
    dead = [session for session in full if session["tag"] != tag]
    if dead:
        return min(dead, key=lambda each: each["generation"])
    if policy["when_full"] == "refuse":
        raise Refused("refused")
    return min(full, key=lambda each: (each["last_seen"], each["generation"]))


def check_data(policy, data):
    if data is not None and len(data.encode()) > policy["max_data_bytes"]:
        raise Refused("data_too_long")


def refresh(table, policy, now, tag, session, seq):
    """The outcome of a refresh token with this `seq`: the verdict, the table after it, and the
    session whose refresh token is the answer."""
    current = session["seq"]
    if seq == current:
        if current == MAX_COUNTER:
            return "sequence_exhausted", table, None
        changed = {**unmarked(session), "seq": current + 1, "last_seen": now, "tag": tag}
        if "repeated" in session:
            changed["strict"] = True
        return "rotated", table.with_session(changed), changed
    if seq > current:
        return "refresh_ahead", table, None
    if seq == current - 1:
        settings, distance = settings_of(session, policy), abs(now - session["last_seen"])
        is_strict, bound = "strict" in session, settings["late_repeat"]
        marked = {**session, "repeated": True}
        if settings["grace"] > 0 and distance <= settings["grace"]:
            after = marked if is_strict else session
            return "repeated", table.with_session(after), after
        if not is_strict and bound is not None and distance <= bound:
            return "repeated", table.with_session(marked), marked
    left = [] if policy["on_reuse"] == "all" else table.others(session)
    return "refresh_reused", Table(generation_after(table, now), left), None


def unmarked(session):
    return {name: session[name] for name in session if name not in ("repeated", "strict")}


def find(table, sid):
    return next((session for session in table.sessions if sid_of(session) == sid), None)


def end(table, now, sid):
    """A log-out of one session: the table after it, `None` if there is no such session."""
    ended = find(table, sid)
    return ended and Table(generation_after(table, now), table.others(ended))


def restarted(table, now, version, tag, session):
    """The session after a restart: a new generation, and the tokens before it are void."""
    generation = next_counter(max(table.generation, version), now)
    fresh = {"generation": generation, "seq": 0, "tag": tag, "last_seen": now}
    return {**unmarked(session), **fresh}


def restart(table, now, version, tag, session):
    own = {**restarted(table, now, version, tag, session), "started_at": now}
    return Table(own["generation"], [*table.others(session), own]), own


def end_others(table, now, version, tag, session):
    """A log-out of all sessions but this one. `version` and `tag` are the new ones."""
    own = restarted(table, now, version, tag, session)
    return Table(own["generation"], [own]), own


def end_all(table, now):
    return Table(generation_after(table, now)) if table.generation else table


def set_data(table, policy, sid, data):
    """The table after it, `None` if there is no such session."""
    check_data(policy, data)
    session = find(table, sid)
    if session is None:
        return None
    without = {name: session[name] for name in session if name != "data"}
    return table.with_session(without if data is None else {**without, "data": data})
