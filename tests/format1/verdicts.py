"""What this implementation says of a test vector."""

from .derivation import Derivation, body, effective
from .issuing import issue
from .rejection import Rejected, UnfitRecord
from .text import encode
from .verifying import verify


def verdict(case):
    """What this implementation says of a case, in the form in which the case expects it."""
    asked = []

    def lookup(user_id):
        asked.append(user_id)
        return case["record"]

    try:
        inputs = [case[name] for name in ("authority", "purpose", "now", "token", "context")]
        said = {"verdict": "accepted", "claims": verify(*inputs, lookup)}
    except Rejected as rejected:
        said = {"verdict": "rejected", "stage": rejected.stage, "reason": rejected.reason}
    except UnfitRecord:
        said = {"verdict": "unfit_record"}
    return {**said, "lookup": bool(asked)}


def derive(case):
    """All that a derivation case expects, from its inputs."""
    authority, purpose = case["authority"], case["purpose"]
    entropy = bytes.fromhex(case["entropy"])
    derivation = Derivation(authority["keys"][0]["master"], authority["issuer"], purpose["typ"])
    bound = body(authority, purpose, case["record"], case["context"])
    subject, exp, own = case["record"]["id"], case["exp"], case["claims"]

    def token(mode):
        inputs = {**case, "authority": {**authority, "mode": mode}}
        return issue(inputs, case["iat"], exp, entropy, own=own)

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


def with_defaults(defaults, case):
    """The case with what it leaves out: objects of settings are completed member by member."""
    full = {**defaults, **case}
    for name in ("authority", "purpose", "record"):
        if full[name] is not None:
            full[name] = {**defaults[name], **full[name]}
    return full
