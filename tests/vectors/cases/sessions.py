"""The cases of sessions.json."""

from . import late_repeats
from .common import DEFAULTS
from .listings import lists
from .logins import log_outs, log_outs_everywhere, log_outs_of_others, logins
from .refreshes import dead, refused, repetitions, reuses, rotations
from .restarts import data, restarts
from .slots import given, tagged
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
    late = [
        late_repeats.late_repeats(),
        late_repeats.late_reuses(),
        late_repeats.graces(),
        late_repeats.marked_rotations(),
        late_repeats.late_ends(),
    ]
    for group in [logins(), tagged(), given(), restarts(), data(), *ends, *refreshes, *late]:
        yield from group
