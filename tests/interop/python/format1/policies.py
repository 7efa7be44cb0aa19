"""The settings of one session, and its end."""

OF_SESSION = ("idle", "absolute", "grace", "late_repeat")


def settings_of(session, policy):
    """The default policy's, those of a named policy, or the strictest under an unknown name."""
    default = {name: policy[name] for name in OF_SESSION}
    if "policy" not in session:
        return default
    named = {name: {**default, **settings} for name, settings in policy["named"].items()}
    return named.get(session["policy"]) or strictest([default, *named.values()])


def strictest(policies):
    least = {name: min(each[name] for each in policies) for name in ("idle", "absolute", "grace")}
    return {**least, "late_repeat": None}


def end_of(session, policy):
    settings = settings_of(session, policy)
    ends = [session["last_seen"] + settings["idle"], session["started_at"] + settings["absolute"]]
    if "ends_at" in session:
        ends.append(session["ends_at"])
    return min(ends)


def is_expired(session, policy, now):
    return now >= end_of(session, policy)
