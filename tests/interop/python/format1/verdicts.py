"""This implementation's results for a test vector, in the form of its `expect`."""

import json

from . import devices, sessions, table
from .claims import shown
from .derivation import effective, rehash, session_tag
from .issuing import (
    ACCESS,
    REFRESH,
    bound_body,
    claims_for,
    issue,
    issuing_derivation,
    refresh_token,
    stamp_of,
)
from .label import clean
from .rejection import Rejected, UnfitRecord
from .text import compact_json
from .verifying import read_table, verify


def verdict(case):
    """The verdict on a token."""
    asked = []

    def lookup(user_id):
        asked.append(user_id)
        return case["record"]

    try:
        said = {"verdict": "accepted", "claims": shown(verify(case, case["token"], lookup))}
    except Rejected as rejected:
        said = rejection(rejected)
    except UnfitRecord:
        said = {"verdict": "unfit_record"}
    return {**said, "lookup": bool(asked)}


def rejection(rejected):
    return {"verdict": "rejected", "stage": rejected.stage, "reason": rejected.reason}


def transition(case):
    """The outcome of an action on a user's sessions."""
    record = case["record"]
    try:
        said, after, version, answer = ACTIONS[case["action"]](case)
    except Rejected as rejected:
        said, after, version, answer = rejection(rejected), None, record["version"], None
    except sessions.Refused as refused:
        said, after, version, answer = {"verdict": refused.verdict}, None, record["version"], None
    except UnfitRecord:
        return {"verdict": "unfit_record"}
    text = record["sessions"] if after is None else after.text()
    changed = {**record, "sessions": text, "version": version}
    token = answer and refresh_token({**case, "record": changed}, answer)
    return {**said, "sessions": text, "version": version, "refresh_token": token}


def tag_of(case, version=None):
    """The tag of the record, under another version if there is one."""
    record = case["record"]
    bound = record if version is None else {**record, "version": version}
    return session_tag(case["authority"], bound)


def log_in(case):
    before, version, tag = read_table(case["record"]), case["record"]["version"], tag_of(case)
    # The member `policy` of a case is the server's.
    arguments = {"label": "label", "data": "data", "policy": "session_policy", "ends_at": "ends_at"}
    given = {name: case[other] for name, other in arguments.items() if other in case}
    after, session = sessions.start(before, case["policy"], case["now"], version, tag, given)
    return {"verdict": "started"}, after, version, session


def refresh(case):
    record = case["record"]
    claims = verify({**case, "purpose": REFRESH}, case["token"], lambda _: record)
    before, policy, now = read_table(record), case["policy"], case["now"]
    session = sessions.check(before, policy, now, claims["sid"])
    tag, seq = tag_of(case), claims["seq"]
    said, after, answer = sessions.refresh(before, policy, now, tag, session, seq)
    if answer is None:
        return rejection(Rejected("session", said)), after, record["version"], None
    return {"verdict": said}, after, record["version"], answer


def log_out(case):
    after = sessions.end(read_table(case["record"]), case["now"], case["sid"])
    return {"verdict": "ended" if after else "unchanged"}, after, case["record"]["version"], None


def set_data(case):
    before, version = read_table(case["record"]), case["record"]["version"]
    after = sessions.set_data(before, case["policy"], case["sid"], case["data"])
    return {"verdict": "set" if after else "unchanged"}, after, version, None


def own_session(case):
    """The table, and the session of the access token that was presented."""
    record = case["record"]
    claims = verify({**case, "purpose": ACCESS}, case["token"], lambda _: record)
    if "sid" not in claims:
        raise sessions.Refused("no_session")
    before = read_table(record)
    return before, sessions.check(before, case["policy"], case["now"], claims["sid"])


def restart(case):
    before, session = own_session(case)
    version = case["record"]["version"]
    after, own = sessions.restart(before, case["now"], version, tag_of(case), session)
    return {"verdict": "restarted"}, after, version, own


def log_out_others(case):
    before, session = own_session(case)
    version = sessions.next_counter(case["record"]["version"], case["now"])
    tag = tag_of(case, version)
    after, own = sessions.end_others(before, case["now"], version, tag, session)
    return {"verdict": "ended"}, after, version, own


def log_out_everywhere(case):
    record, now = case["record"], case["now"]
    after = sessions.end_all(read_table(record), now)
    return {"verdict": "ended"}, after, sessions.next_counter(record["version"], now), None


ACTIONS = {
    "log_in": log_in,
    "refresh": refresh,
    "restart": restart,
    "set_data": set_data,
    "log_out": log_out,
    "log_out_others": log_out_others,
    "log_out_everywhere": log_out_everywhere,
}


def listing(case):
    """The sessions that the user sees."""
    record = case["record"]
    if not record["active"] or not record["secrets"] or not all(record["secrets"]):
        return []
    alive = sessions.listed(read_table(record), case["policy"], case["now"], tag_of(case))
    return [sessions.sid_of(session) for session in alive]


SUBKEYS = ("key", "guard", "nonce", "stamp", "server")


def derive(case):
    """The results of a derivation case, from its inputs."""
    derivation, bound, exp = issuing_derivation(case), bound_body(case), case["exp"]
    entropy = bytes.fromhex(case["entropy"])
    session = {"sid": case["sid"]} if "sid" in case else None

    def under(mode):
        inputs = {**case, "authority": {**case["authority"], "mode": mode}}
        return (inputs, case["iat"], exp, entropy, None, case["claims"], session)

    # All but the brace at the end, where the stamp follows.
    unstamped = compact_json(claims_for(*under("stamp_hs256")))[:-1].encode()
    return {
        "credential": effective(case["record"]["secrets"], case["record"]["carried"]).hex(),
        "tag": tag_of(case),
        "body": bound.hex(),
        "subkeys": {label: derivation.subkey(label).hex() for label in SUBKEYS},
        "user_key": derivation.user_key(bound).hex(),
        "guard": derivation.guard(case["record"]["id"], exp, entropy[:8]).hex(),
        "stamp": stamp_of(case, unstamped) if case["purpose"]["portable"] else None,
        "key_token": issue(*under("key")),
        "stamp_hs256_token": issue(*under("stamp_hs256")),
    }


def derive_refresh(case):
    """The results of a refresh token's case, from its inputs."""
    record, session, inputs = case["record"], case["session"], {**case, "purpose": REFRESH}
    derivation = issuing_derivation(inputs)
    place = (session["slot"], session["generation"], session["seq"])
    before = {**session, "seq": session["seq"] - 1}
    return {
        "nonce": derivation.nonce(record["id"], *place).hex(),
        "user_key": derivation.user_key(bound_body(inputs)).hex(),
        "refresh_token": refresh_token(case, session),
        "predecessor": refresh_token(case, before) if session["seq"] else None,
    }


def derive_rehash(case):
    return rehash(case["carried_before"], case["secrets_before"], case["secrets_after"])


def reading(case):
    try:
        table.read(case["text"])
    except table.Unreadable as unreadable:
        return unreadable.reason
    return "read"


def cleaning(case):
    return clean(case["label"])


# The function that gives the result of a case, for each list of each file.
JUDGES = {
    "derivations.json": {
        "cases": derive,
        "refreshes": derive_refresh,
        "rehashes": derive_rehash,
        "devices": devices.issue,
        "known_devices": devices.is_known,
    },
    "tokens.json": {"cases": verdict},
    "sessions.json": {"tables": reading, "labels": cleaning, "lists": listing, "cases": transition},
}


def judged(file, content):
    """Each case's name, and whether the result is what the case expects."""
    for member, judge in JUDGES[file].items():
        for case in content[member]:
            said = judge(with_defaults(content["defaults"], case))
            yield f"{file}: {case['name']}", same(said, case["expect"])


def same(a, b):
    # As text: to Python, true is 1 and 1 is 1.0.
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


SETTINGS = ("authority", "purpose", "policy", "record")


def with_defaults(defaults, case):
    """The case merged with the defaults: objects of settings member by member."""
    full = {**defaults, **case}
    for name in SETTINGS:
        if isinstance(full.get(name), dict):
            full[name] = {**defaults[name], **full[name]}
    return full
