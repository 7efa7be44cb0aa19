"""The cases of sessions.json."""

from .common import DEFAULTS
from .listings import lists
from .logins import log_outs, log_outs_everywhere, log_outs_of_others, logins
from .refreshes import dead, refused, repetitions, reuses, rotations
from .tables import labels, tables


def content():
    members = {
        "tables": [*tables()],
        "labels": [*labels()],
        "lists": [*lists()],
        "cases": [*transitions()],
    }
    for cases in members.values():
        assert len({case["name"] for case in cases}) == len(cases), "names are unique"
    defaults = {name: value for name, value in DEFAULTS.items() if name != "purpose"}
    record = {**defaults["record"], "sessions": None}
    return {"defaults": {**defaults, "record": record}, **members}


def transitions():
    ends = [log_outs(), log_outs_of_others(), log_outs_everywhere()]
    refreshes = [rotations(), repetitions(), reuses(), dead(), refused()]
    for group in [logins(), *ends, *refreshes]:
        yield from group
