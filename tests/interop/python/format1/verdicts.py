"""This implementation's results for a test vector, in the form of its `expect`."""

from . import sessions, table
from .claims import shown
from .derivation import Derivation, body, effective, rehash
from .issuing import ACCESS, REFRESH, issue, refresh_token
from .label import clean
from .rejection import Rejected, UnfitRecord
from .text import encode
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


def log_in(case):
    before, version = read_table(case["record"]), case["record"]["version"]
    after, session = sessions.start(before, case["policy"], case["now"], version, case["label"])
    return {"verdict": "started"}, after, version, session


def refresh(case):
    record = case["record"]
    claims = verify({**case, "purpose": REFRESH}, case["token"], lambda _: record)
    before, policy, now = read_table(record), case["policy"], case["now"]
    session = sessions.check(before, policy, now, claims["sid"])
    said, after, answer = sessions.refresh(before, policy, now, session, claims["seq"])
    if answer is None:
        return rejection(Rejected("session", said)), after, record["version"], None
    return {"verdict": said}, after, record["version"], answer


def log_out(case):
    before = read_table(case["record"])
    after = sessions.end(before, case["now"], case["sid"])
    said = "unchanged" if after is before else "ended"
    return {"verdict": said}, after, case["record"]["version"], None


def log_out_others(case):
    record, now = case["record"], case["now"]
    claims = verify({**case, "purpose": ACCESS}, case["token"], lambda _: record)
    if "sid" not in claims:
        raise sessions.Refused("no_session")
    before = read_table(record)
    session = sessions.check(before, case["policy"], now, claims["sid"])
    version = sessions.next_counter(record["version"], now)
    after, own = sessions.end_others(before, now, version, session)
    return {"verdict": "ended"}, after, version, own


def log_out_everywhere(case):
    record, now = case["record"], case["now"]
    after = sessions.end_all(read_table(record), now)
    return {"verdict": "ended"}, after, sessions.next_counter(record["version"], now), None


ACTIONS = {
    "log_in": log_in,
    "refresh": refresh,
    "log_out": log_out,
    "log_out_others": log_out_others,
    "log_out_everywhere": log_out_everywhere,
}


def derive(case):
    """The results of a derivation case, from its inputs."""
    authority, purpose = case["authority"], case["purpose"]
    entropy = bytes.fromhex(case["entropy"])
    derivation = Derivation(authority["keys"][0]["master"], authority["issuer"], purpose["typ"])
    bound = body(authority, purpose, case["record"], case["context"])
    subject, exp, own = case["record"]["id"], case["exp"], case["claims"]
    session = {"sid": case["sid"]} if "sid" in case else None

    def token(mode):
        inputs = {**case, "authority": {**authority, "mode": mode}}
        return issue(inputs, case["iat"], exp, entropy, None, own, session)

    return {
        "credential": effective(case["record"]["secrets"], case["record"]["carried"]).hex(),
        "body": bound.hex(),
        "user_key": derivation.user_key(bound).hex(),
        "guard": derivation.guard(subject, exp, entropy[:8]).hex(),
        "server_key": derivation.server_key().hex(),
        "stamp": encode(derivation.stamp(bound, encode(entropy), exp)),
        "key_token": token("key"),
        "stamp_hs256_token": token("stamp_hs256"),
    }


def derive_refresh(case):
    """The results of a refresh token's case, from its inputs."""
    authority, record, session = case["authority"], case["record"], case["session"]
    derivation = Derivation(authority["keys"][0]["master"], authority["issuer"], REFRESH["typ"])
    place = (session["slot"], session["generation"], session["seq"])
    bound = body(authority, REFRESH, record, case["context"])
    before = {**session, "seq": session["seq"] - 1}
    return {
        "nonce": derivation.nonce(record["id"], *place).hex(),
        "user_key": derivation.user_key(bound).hex(),
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


SETTINGS = ("authority", "purpose", "policy", "record")


def with_defaults(defaults, case):
    """The case merged with the defaults: objects of settings member by member."""
    full = {**defaults, **case}
    for name in SETTINGS:
        if isinstance(full.get(name), dict):
            full[name] = {**defaults[name], **full[name]}
    return full
