"""The table of a user's sessions, as the record's column holds it."""

import json
import re

from .claims import Members, is_counter, is_numeric_date, is_text
from .label import is_fit
from .text import compact_json, decode, read_json

FORMAT = 1
SLOTS = 64
# Longer than any table, because a later format may have longer ones and is not damage.
MAX_BYTES = 2**20
MAX_DATA_BYTES = 512


class Unreadable(Exception):
    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Table:
    """The highest generation ever assigned, and the sessions in the order of their slots.

    A session is a dictionary of its members. Its `data` is text, which is kept byte for byte.
    """

    def __init__(self, generation=0, sessions=()):
        self.generation = generation
        self.sessions = sorted(sessions, key=lambda session: session["slot"])

    def get(self, slot):
        return next((session for session in self.sessions if session["slot"] == slot), None)

    def others(self, session):
        return [each for each in self.sessions if each["slot"] != session["slot"]]

    def with_session(self, session):
        """With this session in its slot, and the same top."""
        return Table(self.generation, [*self.others(session), session])

    def text(self):
        """`None`, which is a database's NULL, before the first session."""
        if self.generation == 0:
            return None
        sessions = ",".join(map(session_text, self.sessions))
        return f"{head(self.generation)}{sessions}]}}"


def head(generation):
    return f'{{"format":{FORMAT},"generation":{generation},"sessions":['


def session_text(session):
    return f"{{{','.join(members_text(session, MEMBERS))}}}"


def members_text(session, names):
    for name in names:
        if name in session:
            value = session[name]
            yield f'"{name}":{value if name == "data" else compact_json(value)}'


def read(text):
    if text is None:
        return Table()
    if len(text.encode()) > MAX_BYTES:
        raise Unreadable("malformed")
    try:
        raw = read_json(text, Members)
    except (ValueError, RecursionError):
        raise Unreadable("malformed") from None
    if not isinstance(raw, Members) or not is_counter(raw.get("format")):
        raise Unreadable("malformed")
    # Of a later format only the number is known.
    if "format" in raw.repeats:
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
    table = Table(raw["generation"], with_data_as_text(text, raw["generation"], sessions))
    # Rejects white space, and other escapes and forms of numbers.
    if max(generations, default=0) > table.generation or table.text() != text:
        raise Unreadable("malformed")
    return table


def with_data_as_text(text, generation, sessions):
    """The sessions, each with its `data` as it stands in the text, if the rest is canonical."""
    at = len(head(generation))
    for session in sessions:
        if "data" in session:
            before = members_text(session, MEMBERS[: MEMBERS.index("data")])
            session = {**session, "data": data_at(text, at + len(f'{{{",".join(before)},"data":'))}
        at += len(session_text(session)) + 1
        yield session


def data_at(text, start):
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        raise Unreadable("malformed") from None
    data = text[start:end]
    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", data)
    if len(data.encode()) > MAX_DATA_BYTES or re.search(r"[ \t\n\r]", outside_strings):
        raise Unreadable("malformed")
    return data


def is_session(value):
    return (
        isinstance(value, Members)
        and not value.repeats
        and REQUIRED <= value.keys()
        and list(value) == [name for name in MEMBERS if name in value]
        and all(FORMS[name](value[name]) for name in value)
    )


def is_slot(value):
    return is_counter(value) and value < SLOTS


def is_generation(value):
    return is_counter(value) and value > 0


def is_tag(value):
    return is_text(value) and len(decode(value) or b"") == 8


def is_mark(value):
    return value is True


def is_object(value):
    return isinstance(value, Members)


def is_policy_name(value):
    return is_text(value) and re.fullmatch(r"[A-Za-z0-9_.-]{1,16}", value) is not None


def is_label(value):
    return is_text(value) and is_fit(value)


# In the order in which they are written.
FORMS = {
    "slot": is_slot,
    "generation": is_generation,
    "seq": is_counter,
    "tag": is_tag,
    "started_at": is_numeric_date,
    "last_seen": is_numeric_date,
    "repeated": is_mark,
    "strict": is_mark,
    "ends_at": is_numeric_date,
    "data": is_object,
    "policy": is_policy_name,
    "label": is_label,
}
MEMBERS = list(FORMS)
OPTIONAL = {"repeated", "strict", "ends_at", "data", "policy"}
REQUIRED = FORMS.keys() - OPTIONAL
