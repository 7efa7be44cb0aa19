"""Transitions of a user's sessions, as cases of sessions.json."""

from format1.issuing import refresh_token

from .common import DEFAULTS, complete

NOW = DEFAULTS["now"]


def case(name, action, verdict, after, answer=None, version=3, **inputs):
    """`after` is the resulting table, `answer` the session whose refresh token is issued."""
    record = {"sessions": inputs.pop("sessions"), **inputs.pop("record", {})}
    inputs = {**inputs, "record": record, "action": action}
    if verdict == "unfit_record":
        return {"name": name, **inputs, "expect": {"verdict": verdict}}
    full = complete(inputs)
    full["record"] = {**full["record"], "version": version}
    token = answer and refresh_token(full, answer)
    left = {"sessions": after, "version": version, "refresh_token": token}
    expect = {"verdict": verdict} if isinstance(verdict, str) else verdict
    return {"name": name, **inputs, "expect": {**expect, **left}}


def rejection(stage, reason):
    return {"verdict": "rejected", "stage": stage, "reason": reason}
