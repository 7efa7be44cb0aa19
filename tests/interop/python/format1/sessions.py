"""Sessions: the transitions of the table, given the time and the policy."""

from .claims import MAX_COUNTER
from .label import clean
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


def is_expired(session, policy, now):
    idle_end = session["last_seen"] + policy["idle"]
    return now >= idle_end or now >= session["started_at"] + policy["absolute"]


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


def is_kept(session, policy, now, version):
    """Whether a login leaves the session in its slot."""
    is_in_range = session["slot"] < policy["max_sessions"]
    # A version that was bumped past the table ended all its sessions.
    is_under_version = session["generation"] > version
    return is_in_range and is_under_version and not is_expired(session, policy, now)


def start(table, policy, now, version, label):
    """A login: the table after it, and the new session."""
    most = policy["max_sessions"]
    alive = [session for session in table.sessions if is_kept(session, policy, now, version)]
    if len(alive) == most:
        if policy["when_full"] == "refuse":
            raise Refused("refused")
        alive.remove(min(alive, key=lambda each: (each["last_seen"], each["generation"])))
    generation = next_counter(max(table.generation, version), now)
    session = {
        "slot": min(set(range(most)) - {session["slot"] for session in alive}),
        "generation": generation,
        "seq": 0,
        "started_at": now,
        "last_seen": now,
        "label": clean(label),
    }
    return Table(generation, [*alive, session]), session


def refresh(table, policy, now, session, seq):
    """The outcome of a refresh token with this `seq`: the verdict, the table after it, and the
    session whose refresh token is the answer."""
    current = session["seq"]
    if seq == current:
        if current == MAX_COUNTER:
            return "sequence_exhausted", table, None
        changed = {**session, "seq": current + 1, "last_seen": now}
        return "rotated", Table(table.generation, [*others(table, session), changed]), changed
    if seq > current:
        return "refresh_ahead", table, None
    distance = abs(now - session["last_seen"])
    if seq == current - 1 and policy["grace"] > 0 and distance <= policy["grace"]:
        return "repeated", table, session
    left = [] if policy["on_reuse"] == "all" else others(table, session)
    return "refresh_reused", Table(generation_after(table, now), left), None


def end(table, now, sid):
    """A log-out of one session: the table after it, the same if there is no such session."""
    ended = next((session for session in table.sessions if sid_of(session) == sid), None)
    if ended is None:
        return table
    return Table(generation_after(table, now), others(table, ended))


def end_others(table, now, version, session):
    """A log-out of all sessions but this one, which gets a new generation under a new version."""
    generation = next_counter(max(table.generation, version), now)
    own = {**session, "generation": generation, "seq": 0, "last_seen": now}
    return Table(generation, [own]), own


def end_all(table, now):
    return Table(generation_after(table, now)) if table.generation else table


def others(table, session):
    return [each for each in table.sessions if each["slot"] != session["slot"]]
