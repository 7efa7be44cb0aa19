"""Texts that are not in the form of a token."""

from format1.claims import REQUIRED
from format1.issuing import REFRESH, claims_for, sign
from format1.text import compact_json, decode, encode

from .common import (
    ENTROPY,
    EXPIRES,
    ISSUED,
    KEY,
    OTHER_MASTER,
    RESET,
    capped,
    complete,
    made,
    payload_of,
    rejected,
)


def lengths_and_shapes():
    token = made()
    header, payload, signature = token.split(".")
    long = made(own={"pad": "x" * 300})
    yield rejected("one byte over the cap", long, "length", "too_long", **capped(len(long) - 1))
    yield rejected("the cap counts bytes, not characters", "é" * 2049, "length", "too_long")

    # Padded to a length that leaves unused bits, and with "_" in its base64url.
    own = {"pad": "???"}
    odd = next(t for t in (made(own=own, exp=EXPIRES + i) for i in range(99)) if has_marks(t))
    _, odd_payload, odd_signature = odd.split(".")
    for name, text in {
        "empty token": "",
        "no dot": "token",
        "no signature part": f"{header}.{payload}",
        "four parts": f"{token}.{signature}",
        "a dot at the end": f"{token}.",
        "five parts": f"{token}..",
        "padded payload": f"{header}.{payload}{'=' * (-len(payload) % 4)}=.{signature}",
        "padded signature": f"{token}=",
        "stray bits in the payload": f"{header}.{stray(odd_payload)}.{signature}",
        "stray bits in the signature": f"{header}.{payload}.{stray(signature)}",
        "payload in the standard alphabet": f"{header}.{standard(odd_payload)}.{signature}",
        "signature in the standard alphabet": f"{header}.{payload}.{standard(odd_signature)}",
        "white space before the payload": f"{header}. {payload}.{signature}",
        "white space in the payload": f"{header}.{payload[:8]}\n{payload[8:]}.{signature}",
        "a line feed at the end": f"{token}\n",
        "NUL at the end": f"{token}\0",
        "payload beyond ASCII": f"{header}.{payload[:8]}\uff21{payload[9:]}.{signature}",
        "signature beyond ASCII": f"{token[:-1]}é",
        "a signature of impossible length": f"{token}AA",
        "empty signature": f"{header}.{payload}.",
        "signature a byte short": f"{header}.{payload}.{encode(decode(signature)[:-1])}",
        "signature a byte long": f"{header}.{payload}.{encode(decode(signature) + bytes(1))}",
    }.items():
        yield rejected(name, text, "shape", "malformed")


def has_marks(token):
    _, payload, signature = token.split(".")
    return all("-" in part or "_" in part for part in (payload, signature))


def standard(part):
    """In the alphabet of RFC 4648 §4."""
    return part.replace("-", "+").replace("_", "/")


def stray(part):
    """The same bytes, with an unused bit of the last character set."""
    assert len(part) % 4, "no unused bits"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


def headers():
    """Under each of these headers the signature is the genuine key's."""
    payload = payload_of(made()).encode()

    def under(text):
        return sign(complete({}), payload, header=encode(text.encode()))

    plain = '{"alg":"HS256","kid":"2026-11","typ":"at+jwt"}'
    for alg in ("none", "nOnE", "hs256", "HS384", "HS512", "RS256", "ES256", ""):
        text = under(plain.replace("HS256", alg))
        yield rejected(f"alg {alg or 'empty'}", text, "header", "wrong_algorithm")
    unsigned = under(plain.replace("HS256", "none")).rpartition(".")[0] + "."
    yield rejected("alg none, without a signature", unsigned, "header", "wrong_algorithm")
    for kid in ("2026-12", "2026-1", "2026-11 ", "../2026-11", ""):
        text = under(plain.replace("2026-11", kid))
        yield rejected(f"kid {kid!r}", text, "header", "unknown_key")
    longest = under(plain.replace("2026-11", "k" * (512 - len(plain) + 7)))
    yield rejected("header of 512 bytes", longest, "header", "unknown_key")
    for typ in ("reset+jwt", "JWT", "AT+JWT", "application/at+jwt", ""):
        text = under(plain.replace("at+jwt", typ))
        yield rejected(f"typ {typ or 'empty'}", text, "header", "wrong_type")
    both = under(plain.replace("HS256", "none").replace("at+jwt", "rt+jwt"))
    yield rejected("alg none and another typ", both, "header", "wrong_type")
    for name, text in {
        "header with crit": plain[:-1] + ',"crit":["exp"]}',
        "header with jwk": plain[:-1] + ',"jwk":{"kty":"oct","k":"AA"}}',
        "header with jku": '{"jku":"https://attacker.example",' + plain[1:],
        "header in another order": '{"typ":"at+jwt","alg":"HS256","kid":"2026-11"}',
        "header with white space": plain.replace(",", ", "),
        "header with white space behind it": plain + " ",
        "header with a byte order mark": "\ufeff" + plain,
        "header with alg twice": '{"alg":"none",' + plain[1:],
        "header with kid twice": plain[:-1] + ',"kid":"2026-11"}',
        "header with an escape": plain.replace("HS256", "\\u0048S256"),
        "header without kid": '{"alg":"HS256","typ":"at+jwt"}',
        "header without typ": '{"alg":"HS256","kid":"2026-11"}',
        "header with a numeric alg": plain.replace('"HS256"', "256"),
        "header of 513 bytes": plain.replace("2026-11", "k" * (513 - len(plain) + 7)),
        "header with a kid of 600 bytes": plain.replace("2026-11", "k" * 600),
        "header of no members": "{}",
        "header that is no JSON": "HS256",
    }.items():
        yield rejected(name, under(text), "header", "malformed")
    header, _, rest = made().partition(".")
    for name, text in {
        "empty parts": "..",
        "empty header": f".{rest}",
        "padded header": f"{header}=.{rest}",
        "stray bits in the header": f"{stray(header)}.{rest}",
        "white space before the token": f" {header}.{rest}",
        "Bearer before the token": f"Bearer {header}.{rest}",
        "header beyond ASCII": f"\uff45{header[1:]}.{rest}",
    }.items():
        yield rejected(name, text, "header", "malformed")
    old_key = {"kid": "2026-10", "master": OTHER_MASTER, "until": None}
    for now, name in ((ISSUED + 60, "at its deadline"), (ISSUED + 61, "after its deadline")):
        ring = {"keys": [KEY, {**old_key, "until": ISSUED + 60}]}
        token = made(authority={"keys": [old_key]})
        yield rejected(
            f"retiring key, {name}", token, "header", "retired_key", now=now, authority=ring
        )


def stands(name, texts, session=None, **overrides):
    """The claim `name` with each of these JSON texts as its value."""
    issued = claims_for(complete(overrides), ISSUED, EXPIRES, ENTROPY, None, None, session)
    # As the first member, so that the outcome does not depend on the others.
    others = compact_json({other: issued[other] for other in issued if other != name})[1:]
    purpose = "" if overrides.get("purpose") != REFRESH else "refresh token: "
    for text in texts:
        payload = f'{{"{name}":{text},{others}'.encode()
        token = sign(complete(overrides), payload)
        shown = text if len(text) < 40 else text[:30] + "…"
        yield rejected(f"{purpose}{name} {shown}", token, "claims", "malformed", **overrides)


def payloads():
    """Each of these payloads is signed with the genuine key."""
    plain = payload_of(made())
    bad = {
        "empty payload": b"",
        "payload that is no JSON": b"claims",
        "payload cut short": plain[:-1].encode(),
        "payload with more behind it": plain.encode() + b"{}",
        "payload with a byte order mark": b"\xef\xbb\xbf" + plain.encode(),
        "payload null": b"null",
        "payload array": f"[{plain}]".encode(),
        "payload string": compact_json(plain).encode(),
        "payload of no members": b"{}",
        "payload with NaN": (plain[:-1] + ',"x":NaN}').encode(),
        "payload with a comment": (plain + "//").encode(),
        "payload that is not UTF-8": plain.encode().replace(b"alice", b"alic\xe9"),
        "payload with an overlong NUL": plain.encode().replace(b"alice", b"alic\xc0\x80"),
        "payload in UTF-16": plain.encode("utf-16"),
    }
    for name, payload in bad.items():
        yield rejected(name, sign(complete({}), payload), "claims", "malformed")

    claims = claims_for(complete({}), ISSUED, EXPIRES, ENTROPY)
    for name in REQUIRED:
        member = compact_json({name: claims[name]})[1:-1]
        escaped = member.replace(name[0], f"\\u{ord(name[0]):04x}", 1)
        without = {other: claims[other] for other in claims if other != name}
        for fault, payload in {
            f"{name} missing": compact_json(without),
            f"{name} twice": plain.replace(member, f"{member},{member}"),
            f"{name} twice, once escaped": plain.replace(member, f"{member},{escaped}"),
            f"{name} null": compact_json({**claims, name: None}),
        }.items():
            yield rejected(fault, sign(complete({}), payload.encode()), "claims", "malformed")

    yield from stands("iss", ["1", '["https://login.example.com"]'])
    yield from stands("sub", ["1", '["alice"]', '{"id":"alice"}', '"\\ud800"'])
    aud = '"https://api.example.com"'
    yield from stands("aud", ["1", f'{{"0":{aud}}}', f"[{aud},1]", f"[{aud},null]"])
    dates = ["1800000900.0", "1.8000009e9", '"1800000900"', "-1", "-0", "true", "[1800000900]"]
    yield from stands("exp", [*dates, "253402300800", "18446744073709551616"])
    yield from stands("iat", ["1800000000.0", "18e8", '"1800000000"', "-1", "253402300800"])
    jti = claims["jti"]
    texts = [jti[:20], jti + "AA", jti + "==", stray(jti), "+" + jti[1:], ""]
    yield from stands("jti", [*(f'"{text}"' for text in texts), "1"])
    yield from stands("ver", ["3.0", "3e0", '"3"', "-1", "-0", "true"])
    yield from stands("ver", ["9223372036854775808", "18446744073709551619"])
    many = compact_json({f"e{i}": 1 for i in range(17)})
    yield from stands("epochs", ["null", "[]", '"realm"', "1", many])
    yield from stands("epochs", ['{"\\ud800":1}'])
    yield from stands("epochs", ['{"realm":-1}', '{"realm":1.0}', '{"realm":"1"}'])
    yield from stands("epochs", ['{"realm":9223372036854775808}', '{"realm":1,"realm":1}'])
    lane = {"purpose": RESET, "record": {"lane": 9}}
    yield from stands("lane", ["null", "9.0", '"9"', "-1", "9223372036854775808"], **lane)
    for name, value in {"epochs": '{"realm":1}', "lane": "9", "stamp": f'"{"A" * 22}"'}.items():
        payload = plain[:-1] + f',"{name}":{value},"{name}":{value}}}'
        token = sign(complete({}), payload.encode())
        yield rejected(f"{name} twice", token, "claims", "malformed")

    for name, member in {
        "stamp in key mode": '"stamp":"AAAAAAAAAAAAAAAAAAAAAA"',
        "lane for a purpose without one": '"lane":0',
        "a claim of the application twice": '"role":"user","role":"admin"',
        "a claim of the application twice, once escaped": '"role":"user","\\u0072ole":"admin"',
    }.items():
        token = sign(complete({}), f"{plain[:-1]},{member}}}".encode())
        yield rejected(name, token, "claims", "malformed")
    lane = {"purpose": RESET}
    issued = claims_for(complete(lane), ISSUED, EXPIRES, ENTROPY)
    del issued["lane"]
    token = sign(complete(lane), compact_json(issued).encode())
    yield rejected("no lane for a purpose with one", token, "claims", "malformed", **lane)
