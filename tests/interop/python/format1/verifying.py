"""Verification, in the order of its steps."""

import hmac
import re

from . import sessions, table
from .claims import own_claims, read_claims
from .derivation import Derivation, body, outer_epochs
from .issuing import ACCESS, REFRESH, is_in_key_mode, pinned_header
from .rejection import Rejected, UnfitRecord
from .text import decode, hs256

MAX_ID_BYTES = 255
MAX_SECRET_BYTES = 2**20
MAX_EXPLAINED_HEADER_BYTES = 512
STAMP_MEMBER = rb',"stamp":"[A-Za-z0-9_-]{22}"}'
STAMP_MEMBER_BYTES = 34
SESSION_TYPS = {ACCESS["typ"], REFRESH["typ"]}


def verify(inputs, token, lookup):
    """The claims, or the rejection of the first step that fails.

    `lookup` takes a user's id and gives the record, `None` if there is no such user.
    """
    authority, purpose, now = inputs["authority"], inputs["purpose"], inputs["now"]
    if len(token.encode()) > authority["max_token_bytes"]:
        raise Rejected("length", "too_long")
    parts = token.split(".")
    if len(parts) != 3:
        raise Rejected("shape", "malformed")
    key = find_key(authority, purpose, parts[0])
    if key["until"] is not None and now >= key["until"]:
        raise Rejected("header", "retired_key")
    payload, signature = decode(parts[1]), decode(parts[2])
    if payload is None or signature is None or len(signature) != 32:
        raise Rejected("shape", "malformed")

    claims = read_claims(payload)
    in_key_mode = is_in_key_mode(authority, purpose)
    if not belongs(claims, purpose, in_key_mode):
        raise Rejected("claims", "malformed")
    unstamped, end = payload[:-STAMP_MEMBER_BYTES], payload[-STAMP_MEMBER_BYTES:]
    if not in_key_mode and not re.fullmatch(STAMP_MEMBER, end):
        raise Rejected("claims", "malformed")

    derivation = Derivation(key["master"], authority["issuer"], purpose["typ"])
    signing_input = f"{parts[0]}.{parts[1]}"
    subject, exp, jti = claims["sub"], claims["exp"], claims["jti"]
    if in_key_mode:
        nonce, guard = decode(jti)[:8], decode(jti)[8:]
        is_ours = hmac.compare_digest(derivation.guard(subject, exp, nonce), guard)
    else:
        is_ours = hmac.compare_digest(hs256(derivation.server_key(), signing_input), signature)
    if not is_ours:
        raise Rejected("guard", "forged")

    if now >= exp + authority["leeway"]:
        raise Rejected("validity", "expired")
    if claims["iat"] > now + authority["leeway"]:
        raise Rejected("validity", "not_yet_valid")
    if claims["iss"] != authority["issuer"]:
        raise Rejected("validity", "wrong_issuer")
    audience = claims["aud"]
    if authority["audience"] not in ([audience] if isinstance(audience, str) else audience):
        raise Rejected("validity", "wrong_audience")

    record = lookup(subject)
    if record is None:
        raise Rejected("lookup", "unknown_user")
    if record["id"] != subject:
        raise Rejected("lookup", "user_mismatch")
    if not record["active"]:
        raise Rejected("lookup", "inactive_user")

    check_record(authority, purpose, record)
    if claims["ver"] != record["version"]:
        is_behind = claims["ver"] < record["version"]
        raise Rejected("binding", "revoked_by_version" if is_behind else "ahead_of_record")
    if purpose["lane"] and claims["lane"] != record["lane"]:
        raise Rejected("binding", "revoked_by_lane")
    bound = body(authority, purpose, record, inputs["context"])
    if in_key_mode:
        if not hmac.compare_digest(hs256(derivation.user_key(bound), signing_input), signature):
            raise Rejected("binding", "bad_signature")
    else:
        stamp = derivation.stamp(bound, parts[0], unstamped)
        if not hmac.compare_digest(stamp, decode(claims["stamp"])):
            raise Rejected("binding", "revoked_by_stamp")

    if "sid" in claims:
        sessions.check(read_table(record), inputs["policy"], now, claims["sid"])

    if any(not isinstance(claims.get(name), str) for name in purpose["strings"]):
        raise Rejected("application", "application_claims")
    if purpose["typ"] == REFRESH["typ"] and own_claims(claims):
        raise Rejected("application", "application_claims")
    return claims


def belongs(claims, purpose, in_key_mode):
    """Whether the optional claims are those of the purpose and the mode."""
    is_refresh = purpose["typ"] == REFRESH["typ"]
    return (
        ("stamp" in claims) != in_key_mode
        and ("lane" in claims) == purpose["lane"]
        and ("seq" in claims) == is_refresh
        and ("sid" in claims or not is_refresh)
        and ("sid" not in claims or purpose["typ"] in SESSION_TYPS)
    )


def find_key(authority, purpose, header):
    """The key whose pinned header this is."""
    for key in authority["keys"]:
        if header == pinned_header(key["kid"], purpose["typ"]):
            return key
    # Only a pinned header is accepted. The rest finds the reason, for a log.
    raw = decode(header) or b""
    form = rb'{"alg":"([^"\\]*)","kid":"([^"\\]*)","typ":"([^"\\]*)"}'
    own_form = re.fullmatch(form, raw)
    if not own_form or len(raw) > MAX_EXPLAINED_HEADER_BYTES:
        raise Rejected("header", "malformed")
    alg, kid, typ = own_form.groups()
    if kid not in [key["kid"].encode() for key in authority["keys"]]:
        raise Rejected("header", "unknown_key")
    if typ != purpose["typ"].encode():
        raise Rejected("header", "wrong_type")
    raise Rejected("header", "wrong_algorithm" if alg != b"HS256" else "malformed")


def check_record(authority, purpose, record):
    if not 1 <= len(record["id"].encode()) <= MAX_ID_BYTES:
        raise UnfitRecord("id")
    if not record["secrets"] or not all(record["secrets"]):
        raise Rejected("binding", "no_credential")
    if any(len(secret.encode()) > MAX_SECRET_BYTES for secret in record["secrets"]):
        raise UnfitRecord("secret")
    if [epoch["kind"] for epoch in record["epochs"]] != authority["user_epochs"]:
        raise UnfitRecord("epochs")
    counters = [record["version"], *(counter for _, counter in outer_epochs(authority, record))]
    if purpose["lane"]:
        counters.append(record["lane"])
    if any(counter < 0 for counter in counters):
        raise UnfitRecord("negative counter")


def read_table(record):
    if "sessions" not in record:
        raise UnfitRecord("no sessions")
    try:
        return table.read(record["sessions"])
    except table.Unreadable as unreadable:
        raise UnfitRecord("sessions") from unreadable
