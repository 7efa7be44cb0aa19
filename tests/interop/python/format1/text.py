"""Bytes and text."""

import base64
import hashlib
import hmac
import json


def u16(number):
    return number.to_bytes(2, "big")


def u32(number):
    return number.to_bytes(4, "big")


def u64(number):
    return number.to_bytes(8, "big")


def frame(*pieces):
    """Each piece after its length, so that different lists of pieces give different bytes."""
    raw = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    return b"".join(u32(len(piece)) + piece for piece in raw)


def encode(raw):
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text):
    """The bytes of canonical base64url; `None` for every other text."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    # The decoder skips other characters and drops unused bits; encoding again reveals both.
    return raw if encode(raw) == text else None


def compact_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_json(text, members):
    """Strict JSON (RFC 8259); `members` builds an object from names and values."""
    return json.loads(
        text,
        object_pairs_hook=members,
        parse_int=parse_int,
        parse_constant=refuse_constant,
    )


def parse_int(digits):
    # int() would read JSON's -0 as 0.
    return -0.0 if digits == "-0" else int(digits)


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def hs256(key, signing_input):
    return hmac.new(key, signing_input.encode(), hashlib.sha256).digest()
