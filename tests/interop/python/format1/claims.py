"""The form of a payload."""

import re

from .rejection import Rejected
from .text import decode, read_json

MAX_NUMERIC_DATE = 253402300799  # 9999-12-31T23:59:59Z
MAX_COUNTER = 2**63 - 1
MAX_EPOCHS = 16
MAX_SLOT = 2**16 - 1
MAX_SID_BYTES = 25


class Members(dict):
    """A JSON object that remembers whether a name occurred twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.repeats = len(self) != len(pairs)


def is_text(value):
    # A lone surrogate can be written as an escape and is not a character.
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


def is_counter(value):
    return type(value) is int and 0 <= value <= MAX_COUNTER


def is_numeric_date(value):
    return type(value) is int and 0 <= value <= MAX_NUMERIC_DATE


def is_16_bytes(value):
    return is_text(value) and len(decode(value) or b"") == 16


def is_audience(value):
    return is_text(value) or (isinstance(value, list) and all(map(is_text, value)))


def is_sid(value):
    parts = re.fullmatch(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", value) if is_text(value) else None
    # A number of so many digits is out of range, and is not parsed.
    if parts is None or len(value) > MAX_SID_BYTES:
        return False
    slot, generation = map(int, parts.groups())
    return slot <= MAX_SLOT and generation <= MAX_COUNTER


def is_epochs(value):
    return (
        isinstance(value, Members)
        and not value.repeats
        and len(value) <= MAX_EPOCHS
        and all(is_text(name) and is_counter(counter) for name, counter in value.items())
    )


REQUIRED = {
    "iss": is_text,
    "sub": is_text,
    "aud": is_audience,
    "exp": is_numeric_date,
    "iat": is_numeric_date,
    "jti": is_16_bytes,
    "ver": is_counter,
}
OPTIONAL = {
    "epochs": is_epochs,
    "sid": is_sid,
    "seq": is_counter,
    "lane": is_counter,
    "stamp": is_16_bytes,
}
# Not defined by this release: it would be unsafe to accept a claim that restricts the token unread.
RESERVED = (
    *("client_id", "scope", "auth_time", "acr", "amr", "act", "cnf"),
    *("may_act", "authorization_details", "azp", "nonce", "sub_id", "events"),
)
REFUSED = {"nbf", *RESERVED}


def shown(claims):
    """The claims that the application receives."""
    hidden = OPTIONAL.keys() - {"sid"}
    return {name: value for name, value in claims.items() if name not in hidden}


def own_claims(claims):
    """The names of the private claims."""
    return claims.keys() - REQUIRED.keys() - OPTIONAL.keys()


def read_claims(payload):
    malformed = Rejected("claims", "malformed")
    try:
        claims = read_json(payload.decode(), Members)
    except (ValueError, RecursionError):
        raise malformed from None
    if not isinstance(claims, Members) or claims.repeats or not all(map(is_text, claims)):
        raise malformed
    if not REQUIRED.keys() <= claims.keys() or REFUSED & claims.keys():
        raise malformed
    forms = {**REQUIRED, **OPTIONAL}
    if not all(forms[name](claims[name]) for name in forms.keys() & claims.keys()):
        raise malformed
    return claims
