"""The table of a user's sessions, as the record's column holds it."""

from .claims import Members, is_counter, is_numeric_date, is_text
from .label import is_fit
from .text import compact_json, read_json

FORMAT = 1
SLOTS = 64
# Longer than any table, because a later format may have longer ones and is not damage.
MAX_BYTES = 2**20
MEMBERS = ["slot", "generation", "seq", "started_at", "last_seen", "label"]


class Unreadable(Exception):
    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Table:
    """The highest generation ever assigned, and the sessions in the order of their slots."""

    def __init__(self, generation=0, sessions=()):
        self.generation = generation
        self.sessions = sorted(sessions, key=lambda session: session["slot"])

    def get(self, slot):
        return next((session for session in self.sessions if session["slot"] == slot), None)

    def text(self):
        """`None`, which is a database's NULL, before the first session."""
        if self.generation == 0:
            return None
        members = {"generation": self.generation, "sessions": self.sessions}
        return compact_json({"format": FORMAT, **members})


def read(text):
    if text is None:
        return Table()
    if len(text.encode()) > MAX_BYTES:
        raise Unreadable("malformed")
    try:
        raw = read_json(text, Members)
    except (ValueError, RecursionError):
        raise Unreadable("malformed") from None
    if not isinstance(raw, Members) or raw.repeats or not is_counter(raw.get("format")):
        raise Unreadable("malformed")
    if raw["format"] != FORMAT:
        raise Unreadable("unknown_format")
    if list(raw) != ["format", "generation", "sessions"] or not is_generation(raw["generation"]):
        raise Unreadable("malformed")
    sessions = raw["sessions"]
    if not isinstance(sessions, list) or not all(is_session(each) for each in sessions):
        raise Unreadable("malformed")
    slots = [session["slot"] for session in sessions]
    generations = {session["generation"] for session in sessions}
    if slots != sorted(set(slots)) or len(generations) != len(sessions):
        raise Unreadable("malformed")
    table = Table(raw["generation"], sessions)
    # Rejects other white space, escapes and forms of numbers.
    if max(generations, default=0) > table.generation or table.text() != text:
        raise Unreadable("malformed")
    return table


def is_session(value):
    return (
        isinstance(value, Members)
        and not value.repeats
        and list(value) == MEMBERS
        and is_counter(value["slot"])
        and value["slot"] < SLOTS
        and is_generation(value["generation"])
        and is_counter(value["seq"])
        and is_numeric_date(value["started_at"])
        and is_numeric_date(value["last_seen"])
        and is_text(value["label"])
        and is_fit(value["label"])
    )


def is_generation(value):
    return is_counter(value) and value > 0
