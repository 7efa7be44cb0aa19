"""Device tokens: the marks of devices on which a user has logged in."""

import hmac

from .derivation import Derivation
from .text import decode, encode, u64

LIFETIME = 365 * 86400  # seconds

# The bytes before the user's id: the code, the device's id, the end and the lane.
FIXED = 16 + 16 + 8 + 8


def issue(case):
    """The token of the device with this id, under the first key of the ring."""
    authority, record = case["authority"], case["record"]
    key, device = authority["keys"][0], bytes.fromhex(case["entropy"])
    said = device + u64(case["now"] + LIFETIME) + u64(record["lane"]) + record["id"].encode()
    return encode(code(authority, key, said) + said)


def is_known(case):
    """Whether the token is a genuine one of this user, and has neither expired nor been revoked."""
    authority, record, now = case["authority"], case["record"], case["now"]
    raw = decode(case["token"]) or b""
    if len(raw) <= FIXED:
        return False
    given, said = raw[:16], raw[16:]
    usable = [key for key in authority["keys"] if key["until"] is None or now < key["until"]]
    if not any(hmac.compare_digest(given, code(authority, key, said)) for key in usable):
        return False
    end, lane, user_id = said[16:24], said[24:32], said[32:]
    if now >= int.from_bytes(end, "big"):
        return False
    return user_id == record["id"].encode() and lane == u64(record["lane"])


def code(authority, key, said):
    return Derivation(key["master"], authority["issuer"], "").device_code(said)
