"""The scenarios of the test vectors, made with ../format1.py.

The verdict that a token's case expects stands here, written by hand: `format1.py check` and the
library's own tests compare it with what the two implementations say.
"""

from format1 import (
    MAX_COUNTER,
    MAX_NUMERIC_DATE,
    OPTIONAL,
    REQUIRED,
    Derivation,
    body,
    claims_for,
    compact_json,
    decode,
    derive,
    encode,
    hs256,
    issue,
    pinned_header,
    rehash,
    shown,
    sign,
    with_defaults,
)

ISSUED = 1800000000
EXPIRES = ISSUED + 900
ENTROPY = bytes(range(16))
MASTER = bytes(range(32)).hex()
OTHER_MASTER = bytes(range(100, 132)).hex()
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4"
REHASHED = HASH.replace("m=19456,t=2", "m=65536,t=3")
CHANGED = HASH.replace("YWJj", "eHl6")

KEY = {"kid": "2026-11", "master": MASTER, "until": None}
ACCESS = {"typ": "at+jwt", "lane": False, "strings": []}
RESET = {"typ": "reset+jwt", "lane": True, "strings": []}
INVITE = {"typ": "invite+jwt", "lane": False, "strings": []}
ADMIN = {"typ": "admin+jwt", "lane": False, "strings": ["role"]}
STAMP = {"mode": "stamp_hs256"}

DEFAULTS = {
    "authority": {
        "issuer": "https://login.example.com",
        "audience": "https://api.example.com",
        "mode": "key",
        "leeway": 0,
        "max_token_bytes": 4096,
        "keys": [KEY],
        "epochs": [],
        "user_epochs": [],
    },
    "purpose": ACCESS,
    "now": ISSUED + 60,
    "context": {},
    "record": {
        "id": "alice",
        "secrets": [HASH],
        "version": 3,
        "active": True,
        "carried": None,
        "epochs": [],
        "lane": 0,
    },
}


def realm(counter):
    return {"kind": "realm", "counter": counter}


def tenant(instance, counter):
    return {"kind": "tenant", "instance": instance, "counter": counter}


# Derivations


def derivations():
    def case(name, claims=None, **overrides):
        inputs = {"iat": ISSUED, "exp": EXPIRES, "entropy": ENTROPY.hex(), "claims": claims or {}}
        inputs.update(overrides)
        return {"name": name, **inputs, "expect": derive(with_defaults(DEFAULTS, inputs))}

    def bound(name, **record):
        return case(name, record=record)

    counted = {"epochs": [realm(1)], "user_epochs": ["region", "tenant"]}
    in_groups = [{"kind": "region", "instance": None, "counter": 5}, tenant("acme", 7)]
    carried = rehash(None, [HASH], [REHASHED])
    return {
        "defaults": DEFAULTS,
        "cases": [
            case("defaults"),
            case("a purpose without a lane has an empty one", record={"lane": 9}),
            case("lane", purpose=RESET, record={"lane": 9}),
            case("lane 0 is not an empty one", purpose=RESET),
            case("another type", purpose=INVITE),
            case("another issuer", authority={"issuer": "https://login.example.org"}),
            case("another master key", authority={"keys": [{**KEY, "master": OTHER_MASTER}]}),
            case("a master key of 65 bytes", authority={"keys": [{**KEY, "master": "0b" * 65}]}),
            bound("a user id beyond ASCII", id="Ünï-используй-用户-🔑"),
            bound("a user id that JSON escapes", id='tab\t"quote" \\ \x01 \x7f \u2028'),
            bound("a user id of 255 bytes", id="a" * 255),
            bound("another version", version=4),
            bound("version 0", version=0),
            bound("the greatest version", version=MAX_COUNTER),
            bound("several secrets", secrets=[HASH, "JBSWY3DPEHPK3PXP"]),
            bound("several secrets in another order", secrets=["JBSWY3DPEHPK3PXP", HASH]),
            bound("secrets ab and c", secrets=["ab", "c"]),
            bound("secrets a and bc", secrets=["a", "bc"]),
            bound("a carried pair that counts", secrets=[REHASHED], carried=carried),
            bound("a carried pair that is void", secrets=[CHANGED], carried=carried),
            case("one fixed epoch", authority={"epochs": [realm(1)]}),
            case("fixed and user epochs", authority=counted, record={"epochs": in_groups}),
            case("context", context={"email": "new@example.com"}),
            case("context of two kinds", context={"fingerprint": "f00d", "address": "192.0.2.1"}),
            case("kinds are sorted as UTF-8", context={"🔑": "1", "～": "2", "z": "3", "Z": "4"}),
            case("one second to live", exp=ISSUED + 1),
            case("other randomness", entropy="ff" * 16),
            case("claims of the application", claims={"deep": [1, {"a": None}], "role": "админ"}),
            case(
                "everything at once",
                claims={"role": "admin"},
                authority=counted,
                purpose=RESET,
                context={"email": "новый@example.com"},
                record={
                    "id": "用户",
                    "secrets": [REHASHED],
                    "version": 1800000000123,
                    "carried": carried,
                    "epochs": in_groups,
                    "lane": 1800000000456,
                },
            ),
        ],
        "rehashes": rehashes(),
    }


def rehashes():
    def case(name, before, carried, after):
        inputs = {"secrets_before": before, "carried_before": carried, "secrets_after": after}
        return {"name": name, **inputs, "carried_after": rehash(carried, before, after)}

    first = rehash(None, [HASH], [REHASHED])
    return [
        case("the first rehash", [HASH], None, [REHASHED]),
        case("a further rehash keeps the digest", [REHASHED], first, [REHASHED + "+"]),
        case("a rehash after a password change", [CHANGED], first, [CHANGED + "+"]),
    ]


# Tokens


def complete(overrides):
    return with_defaults(DEFAULTS, overrides)


def made(audience=None, own=None, iat=ISSUED, exp=EXPIRES, **overrides):
    """A token as it is issued under these inputs."""
    return issue(complete(overrides), iat, exp, ENTROPY, audience, own)


def accepted(name, audience=None, own=None, iat=ISSUED, exp=EXPIRES, seen=None, **overrides):
    """Issued under the overrides and accepted under them, or under `seen` instead."""
    claims = claims_for(complete(overrides), iat, exp, ENTROPY, audience, own)
    token = made(audience, own, iat, exp, **overrides)
    expect = {"verdict": "accepted", "claims": shown(claims), "lookup": True}
    return {"name": name, **(overrides if seen is None else seen), "token": token, "expect": expect}


def rejected(name, token, stage, reason, **seen):
    # The lookup lies between the validity and what is said of the record.
    asked = stage in ("lookup", "binding", "application")
    expect = {"verdict": "rejected", "stage": stage, "reason": reason, "lookup": asked}
    return {"name": name, **seen, "token": token, "expect": expect}


def unfit(name, token, **seen):
    expect = {"verdict": "unfit_record", "lookup": True}
    return {"name": name, **seen, "token": token, "expect": expect}


def capped(most):
    return {"authority": {"max_token_bytes": most}}


def payload_of(token):
    return decode(token.split(".")[1]).decode()


def edited(old, new, **overrides):
    """The payload of a genuine token with `old` replaced, which must stand there once."""
    payload = payload_of(made(**overrides))
    assert payload.count(old) == 1, (old, payload)
    return payload.replace(old, new)


def tampered(old, new, **overrides):
    """An edited payload under the signature of the genuine one."""
    header, _, signature = made(**overrides).split(".")
    return f"{header}.{encode(edited(old, new, **overrides).encode())}.{signature}"


def resigned(old, new, **overrides):
    """An edited payload, signed with the genuine key."""
    return sign(complete(overrides), edited(old, new, **overrides).encode())


def tokens():
    groups = [
        acceptance(),
        lengths_and_shapes(),
        headers(),
        payloads(),
        forgeries(),
        validity(),
        lookups(),
        revocations("key", "bad_signature"),
        revocations("stamp_hs256", "revoked_by_stamp"),
        lanes(),
        signatures(),
        applications(),
        unfit_records(),
    ]
    cases = [case for group in groups for case in group]
    assert len({case["name"] for case in cases}) == len(cases), "names are unique"
    return {"defaults": DEFAULTS, "cases": cases}


def acceptance():
    own = {"role": "admin", "имя": "Алиса", "deep": [1, {"a": None, "b": [True, "x"]}]}
    carried = rehash(None, [HASH], [REHASHED])
    rehashed = {"secrets": [REHASHED], "carried": carried}
    grouped = {"epochs": [realm(1)], "user_epochs": ["tenant"]}
    old_key = {"kid": "2026-10", "master": OTHER_MASTER, "until": None}
    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}}
        yield accepted(f"{mode}: plain", **under)
        yield accepted(f"{mode}: claims of the application", own=own, **under)
        yield accepted(
            f"{mode}: carried pair that counts", **under, seen={**under, "record": rehashed}
        )
        yield accepted(
            f"{mode}: carried pair that is void",
            **under,
            record={"secrets": [CHANGED], "carried": carried},
        )
        yield accepted(f"{mode}: several secrets", **under, record={"secrets": [HASH, "totp"]})
        yield accepted(
            f"{mode}: fixed and user epochs",
            authority={"mode": mode, **grouped},
            record={"epochs": [tenant("acme", 7)]},
        )
        yield accepted(f"{mode}: lane", **under, purpose=RESET, record={"lane": 9})
        yield accepted(f"{mode}: context", **under, context={"email": "new@example.com"})
        ring = [KEY, {**old_key, "until": ISSUED + 61}]
        yield accepted(
            f"{mode}: retiring key, one second before its deadline",
            authority={"mode": mode, "keys": [old_key]},
            seen={"authority": {"mode": mode, "keys": ring}},
        )
    yield accepted("several audiences", audience=["https://a.example", "https://api.example.com"])
    yield accepted("one second before exp", seen={"now": EXPIRES - 1})
    lenient = {"authority": {"leeway": 30}}
    yield accepted("one second before exp and leeway", seen={**lenient, "now": EXPIRES + 29})
    yield accepted("now is iat", seen={"now": ISSUED})
    yield accepted("iat ahead by the leeway", seen={**lenient, "now": ISSUED - 30})
    yield accepted("the last exp", exp=MAX_NUMERIC_DATE)
    yield accepted("the greatest version", record={"version": MAX_COUNTER})
    yield accepted("user id beyond ASCII", record={"id": "Ünï-用户-🔑"})
    long = {"pad": "x" * 300}
    yield accepted("as long as the cap", own=long, seen=capped(len(made(own=long))))
    claims = claims_for(complete({}), ISSUED, EXPIRES, ENTROPY)
    shuffled = " " + compact_json(dict(reversed(claims.items()))).replace(",", " ,\n\t")
    token = sign(complete({}), shuffled.encode())
    expect = {"verdict": "accepted", "claims": claims, "lookup": True}
    yield {"name": "claims in another order, with white space", "token": token, "expect": expect}


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
    for typ in ("reset+jwt", "JWT", "AT+JWT", "application/at+jwt", ""):
        text = under(plain.replace("at+jwt", typ))
        yield rejected(f"typ {typ or 'empty'}", text, "header", "wrong_type")
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

    def stands(name, texts, **overrides):
        """The claim `name` with each of these JSON texts as its value."""
        issued = claims_for(complete(overrides), ISSUED, EXPIRES, ENTROPY)
        # As the first member, so that what comes of the others does not matter.
        others = compact_json({other: issued[other] for other in issued if other != name})[1:]
        for text in texts:
            payload = f'{{"{name}":{text},{others}'.encode()
            token = sign(complete(overrides), payload)
            shown = text if len(text) < 40 else text[:30] + "…"
            yield rejected(f"{name} {shown}", token, "claims", "malformed", **overrides)

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
    yield from stands("epochs", ['{"realm":-1}', '{"realm":1.0}', '{"realm":"1"}'])
    yield from stands("epochs", ['{"realm":9223372036854775808}', '{"realm":1,"realm":1}'])
    lane = {"purpose": RESET, "record": {"lane": 9}}
    yield from stands("lane", ["null", "9.0", '"9"', "-1", "9223372036854775808"], **lane)
    stamped = {"authority": STAMP}
    yield from stands("stamp", ["null", "1", '""', f'"{"A" * 20}"', f'"{"A" * 21}B"'], **stamped)
    for name, text in {"nbf": "1800000000", "sid": '"0.1"', "seq": "1"}.items():
        yield from stands(name, [text])
    for name in OPTIONAL:
        value = {"epochs": '{"realm":1}', "lane": "9", "stamp": f'"{"A" * 22}"'}[name]
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
    for name, claim, overrides in (
        ("no lane for a purpose with one", "lane", {"purpose": RESET}),
        ("no stamp in stamp mode", "stamp", stamped),
    ):
        issued = claims_for(complete(overrides), ISSUED, EXPIRES, ENTROPY)
        del issued[claim]
        token = sign(complete(overrides), compact_json(issued).encode())
        yield rejected(name, token, "claims", "malformed", **overrides)


def forgeries():
    """What is not this server's, for this user, expiry and purpose, costs no lookup."""
    jti = claims_for(complete({}), ISSUED, EXPIRES, ENTROPY)["jti"]
    nonce, guard = decode(jti)[:8], decode(jti)[8:]
    other_nonce, other_guard = encode(bytes(8) + guard), encode(nonce + bytes(8))
    sub = '"sub":"alice"'
    for name, old, new in (
        ("sub of another user", sub, '"sub":"bob"'),
        ("sub in another case", sub, '"sub":"Alice"'),
        ("sub with a look-alike letter", sub, '"sub":"\u0430lice"'),
        ("sub with white space", sub, '"sub":"alice "'),
        ("empty sub", sub, '"sub":""'),
        ("exp a second later", f'"exp":{EXPIRES}', f'"exp":{EXPIRES + 1}'),
        ("jti with another nonce", jti, other_nonce),
        ("jti with another guard", jti, other_guard),
    ):
        yield rejected(f"tampered: {name}", tampered(old, new), "guard", "forged")
        # The user's key alone, without the server's, makes no guard.
        yield rejected(f"signed by the user's key: {name}", resigned(old, new), "guard", "forged")
    stamped = {"authority": STAMP}
    for name, old, new in (
        ("sub", sub, '"sub":"bob"'),
        ("escaped sub", sub, '"sub":"\\u0061lice"'),
        ("exp", f'"exp":{EXPIRES}', f'"exp":{EXPIRES + 1}'),
        ("iat", f'"iat":{ISSUED}', f'"iat":{ISSUED + 1}'),
        ("ver", '"ver":3', '"ver":4'),
        ("claim of the application", '"ver":3', '"role":"admin","ver":3'),
    ):
        token = tampered(old, new, **stamped)
        yield rejected(f"stamp mode, tampered: {name}", token, "guard", "forged", **stamped)

    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}}
        other_key = {"authority": {"mode": mode, "keys": [{**KEY, "master": OTHER_MASTER}]}}
        yield rejected(f"{mode}: other master key", made(**other_key), "guard", "forged", **under)
        issuer = {"mode": mode, "issuer": "https://login.example.org"}
        for name, token in {
            "another issuer's key": resigned("example.org", "example.com", authority=issuer),
            "another purpose's key": sign(
                complete({**under, "purpose": INVITE}),
                payload_of(made(**under, purpose=INVITE)).encode(),
                header=pinned_header("2026-11", "at+jwt"),
            ),
        }.items():
            yield rejected(f"{mode}: {name}", token, "guard", "forged", **under)
    old_key = {"kid": "2026-10", "master": OTHER_MASTER, "until": EXPIRES}
    token = made(authority={"keys": [{**KEY, "master": OTHER_MASTER}]})
    ring = {"keys": [KEY, old_key]}
    yield rejected("the other key of the ring", token, "guard", "forged", authority=ring)


def validity():
    lenient = {"authority": {"leeway": 30}}
    for name, now, overrides in (
        ("at exp", EXPIRES, {}),
        ("long after exp", EXPIRES + 10**9, {}),
        ("at exp and leeway", EXPIRES + 30, lenient),
    ):
        yield rejected(name, made(), "validity", "expired", now=now, **overrides)
    yield rejected("exp 0", made(exp=0), "validity", "expired")
    late = {"now": EXPIRES, "authority": STAMP}
    yield rejected("stamp mode, at exp", made(authority=STAMP), "validity", "expired", **late)
    for name, now, overrides in (
        ("one second before iat", ISSUED - 1, {}),
        ("one second before iat and leeway", ISSUED - 31, lenient),
    ):
        yield rejected(name, made(), "validity", "not_yet_valid", now=now, **overrides)
    iss = '"iss":"https://login.example.com"'
    for name, other in {
        "wrong issuer": "https://login.example.org",
        "issuer with a slash more": "https://login.example.com/",
        "empty issuer": "",
    }.items():
        token = resigned(iss, f'"iss":"{other}"')
        yield rejected(name, token, "validity", "wrong_issuer")
    token = resigned(iss, '"iss":"https://login.example.org"', authority=STAMP)
    yield rejected("stamp mode, wrong issuer", token, "validity", "wrong_issuer", authority=STAMP)
    for name, audience in {
        "wrong audience": "https://api.example.org",
        "audience in another case": "https://API.example.com",
        "several audiences, all wrong": ["https://a.example", "https://b.example"],
        "the audience as a part of one": ["https://api.example.com/v1"],
    }.items():
        yield rejected(name, made(audience), "validity", "wrong_audience")
    aud = '"aud":"https://api.example.com"'
    token = resigned(aud, '"aud":[]')
    yield rejected("empty array of audiences", token, "validity", "wrong_audience")
    # In key mode these are read before the signature is checked: they may reject, no more.
    token = tampered(aud, '"aud":"https://b.example"')
    yield rejected("tampered: aud", token, "validity", "wrong_audience")


def lookups():
    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}}
        for name, record, stage, reason in (
            ("no such user", None, "lookup", "unknown_user"),
            ("another user than asked for", {"id": "bob"}, "lookup", "user_mismatch"),
            ("the user in another case", {"id": "Alice"}, "lookup", "user_mismatch"),
            ("inactive user", {"active": False}, "lookup", "inactive_user"),
            ("no secret", {"secrets": []}, "binding", "no_credential"),
            ("empty secret", {"secrets": [""]}, "binding", "no_credential"),
            ("empty second secret", {"secrets": [HASH, ""]}, "binding", "no_credential"),
            ("version bumped", {"version": 4}, "binding", "revoked_by_version"),
            ("version ahead of the record", {"version": 2}, "binding", "ahead_of_record"),
        ):
            yield rejected(f"{mode}: {name}", made(**under), stage, reason, record=record, **under)


def revocations(mode, reason):
    """A genuine token, and a record or a context that is no longer the one it is bound to."""

    def moved(name, issued, seen):
        issued = {**issued, "authority": {"mode": mode, **issued.get("authority", {})}}
        seen = {**issued, **seen}
        seen["authority"] = {**issued["authority"], **seen["authority"]}
        return rejected(f"{mode}: {name}", made(**issued), "binding", reason, **seen)

    def records(name, before, after):
        return moved(name, {"record": before}, {"record": after})

    carried = rehash(None, [HASH], [REHASHED])
    swapped = encode(decode(carried)[32:] + decode(carried)[:32])
    yield records("password changed", {}, {"secrets": [CHANGED]})
    yield records("rehashed without a carried pair", {}, {"secrets": [REHASHED]})
    yield records("carried pair left behind", {}, {"secrets": [CHANGED], "carried": carried})
    yield records("carried pair swapped", {}, {"secrets": [REHASHED], "carried": swapped})
    both = {"secrets": [HASH, "totp"]}
    yield records("second secret added", {}, both)
    yield records("second secret removed", both, {})
    yield records("second secret changed", both, {"secrets": [HASH, "TOTP"]})
    yield records("secrets in another order", both, {"secrets": ["totp", HASH]})
    yield records("secrets split elsewhere", {"secrets": ["ab", "c"]}, {"secrets": ["a", "bc"]})

    fixed = {"authority": {"epochs": [realm(1)]}}
    yield moved("fixed epoch bumped", fixed, {"authority": {"epochs": [realm(2)]}})
    yield moved("fixed epoch removed", fixed, {"authority": {"epochs": []}})
    user = {"authority": {"user_epochs": ["tenant"]}}
    in_acme = {**user, "record": {"epochs": [tenant("acme", 7)]}}
    for name, epoch in {
        "user epoch bumped": tenant("acme", 8),
        "user epoch behind": tenant("acme", 6),
        "tenant moved, equal counter": tenant("initech", 7),
        "tenant left, equal counter": tenant(None, 7),
    }.items():
        yield moved(name, in_acme, {**user, "record": {"epochs": [epoch]}})

    one, two = {"email": "a@example.com"}, {"email": "a@example.com", "address": "192.0.2.1"}
    for name, before, after in (
        ("context missing", one, {}),
        ("context where there was none", {}, one),
        ("context with a kind more", one, two),
        ("context with a kind less", two, one),
        ("context with another value", one, {"email": "b@example.com"}),
        ("context under another kind", one, {"address": "a@example.com"}),
        ("context with values exchanged", two, dict(zip(two, reversed(two.values())))),
        ("context split elsewhere", {"ab": "c"}, {"a": "bc"}),
    ):
        yield moved(name, {"context": before}, {"context": after})


def lanes():
    lane = {"purpose": RESET, "record": {"lane": 9}}
    for mode in ("key", "stamp_hs256"):
        under = {**lane, "authority": {"mode": mode}}
        for name, counter in {"ahead": 10, "behind": 8, "at its initial value": 0}.items():
            seen = {**under, "record": {"lane": counter}}
            yield rejected(
                f"{mode}: lane {name}", made(**under), "binding", "revoked_by_lane", **seen
            )
    token = tampered('"lane":9', '"lane":10', **lane)
    seen = {**lane, "record": {"lane": 10}}
    yield rejected("tampered: lane of the record", token, "binding", "bad_signature", **seen)


def signatures():
    """Behind a valid guard, the signature decides in key mode and the stamp in stamp mode."""
    sub, iat, ver = '"sub":"alice"', f'"iat":{ISSUED}', '"ver":3'
    for name, old, new, record in (
        ("escaped sub", sub, '"sub":"\\u0061lice"', {}),
        ("iat", iat, f'"iat":{ISSUED + 1}', {}),
        ("ver of the record", ver, '"ver":4', {"version": 4}),
        ("claim added", ver, '"role":"admin","ver":3', {}),
        ("epochs added", ver, '"ver":3,"epochs":{"realm":1}', {}),
        ("white space", ver, '"ver": 3', {}),
    ):
        token = tampered(old, new)
        yield rejected(f"tampered: {name}", token, "binding", "bad_signature", record=record)

    for mode, stage, reason in (
        ("key", "binding", "bad_signature"),
        ("stamp_hs256", "guard", "forged"),
    ):
        under = {"authority": {"mode": mode}}
        token = made(**under)
        signing_input, _, signature = token.rpartition(".")
        derivation = Derivation(MASTER, DEFAULTS["authority"]["issuer"], ACCESS["typ"])
        other_typ = Derivation(MASTER, DEFAULTS["authority"]["issuer"], INVITE["typ"])
        inputs = complete(under)
        bound = body(inputs["authority"], ACCESS, inputs["record"], {})
        raw = decode(signature)
        other_key = derivation.server_key() if mode == "key" else derivation.user_key(bound)
        for name, wrong in {
            "signature of zeros": bytes(32),
            "signature with one bit flipped": bytes([raw[0] ^ 1]) + raw[1:],
            "signature of another token": decode(made(**under, exp=EXPIRES + 1).split(".")[2]),
            "signed by the master key": hs256(bytes.fromhex(MASTER), signing_input),
            "signed by an empty key": hs256(b"", signing_input),
            "signed by the other mode's key": hs256(other_key, signing_input),
            "signed by another purpose's key behind this one's guard": hs256(
                other_typ.user_key(bound) if mode == "key" else other_typ.server_key(),
                signing_input,
            ),
        }.items():
            text = f"{signing_input}.{encode(wrong)}"
            yield rejected(f"{mode}: {name}", text, stage, reason, **under)

    # Whoever has the server's signing key still lacks the record.
    stamped = {"authority": STAMP}
    claims = claims_for(complete(stamped), ISSUED, EXPIRES, ENTROPY)
    for name, old, new in (
        ("stamp of zeros", claims["stamp"], encode(bytes(16))),
        ("stamp of another jti", claims["jti"], encode(bytes(16))),
        ("stamp of another exp", f'"exp":{EXPIRES}', f'"exp":{EXPIRES + 1}'),
    ):
        token = resigned(old, new, **stamped)
        yield rejected(name, token, "binding", "revoked_by_stamp", **stamped)
    token = resigned(sub, '"sub":"bob"', **stamped)
    seen = {**stamped, "record": {"id": "bob"}}
    yield rejected("stamp of another user", token, "binding", "revoked_by_stamp", **seen)


def applications():
    yield accepted("a string that the purpose requires", own={"role": "admin"}, purpose=ADMIN)
    for name, own in {"missing": {}, "a number": {"role": 1}, "null": {"role": None}}.items():
        token = made(own=own, purpose=ADMIN)
        yield rejected(
            f"required string is {name}", token, "application", "application_claims", purpose=ADMIN
        )


def unfit_records():
    lane = {"purpose": RESET, "record": {"lane": 0}}
    yield unfit("negative version", made(), record={"version": -1})
    yield unfit("negative lane", made(**lane), **{**lane, "record": {"lane": -1}})
    in_tenant = {"authority": {"user_epochs": ["tenant"]}}
    token = made(**in_tenant, record={"epochs": [tenant("acme", 7)]})
    for name, epochs in {
        "negative epoch": [tenant("acme", -1)],
        "no epochs": [],
        "epoch of another kind": [{"kind": "region", "instance": "acme", "counter": 7}],
        "one epoch too many": [tenant("acme", 7), tenant("acme", 7)],
    }.items():
        yield unfit(name, token, record={"epochs": epochs}, **in_tenant)
    ordered = {"authority": {"user_epochs": ["region", "tenant"]}}
    region = {"kind": "region", "instance": None, "counter": 5}
    token = made(**ordered, record={"epochs": [region, tenant("acme", 7)]})
    swapped = {"epochs": [tenant("acme", 7), region]}
    yield unfit("epochs in another order", token, record=swapped, **ordered)


# Random scenarios

PURPOSES = [ACCESS, RESET, ADMIN]


def random_scenario(choose):
    """A token that is to be accepted, under inputs that `choose` draws."""

    def text(most):
        alphabet = 'aZ09-_.:@/+ "\\\n\x01\x7féж中🔑'
        return "".join(choose.choices(alphabet, k=choose.randint(1, most)))

    def counter():
        return choose.choice([0, 1, choose.getrandbits(40), MAX_COUNTER])

    def kinds(prefix):
        return [f"{prefix}{i}" for i in range(choose.randint(0, 3))]

    def key(kid, until):
        master = choose.randbytes(choose.randint(32, 80)).hex()
        return {"kid": kid, "master": master, "until": until}

    def user_epoch(kind):
        instance = choose.choice([None, text(9)])
        return {"kind": kind, "instance": instance, "counter": counter()}

    now = choose.randint(0, 4_000_000_000)
    secrets = [text(60) for _ in range(choose.randint(1, 3))]
    counts, void = rehash(None, [text(9)], secrets), rehash(None, secrets, [text(9) + "?"])
    user_kinds = kinds("user")
    inputs = {
        "authority": {
            "issuer": text(30),
            "audience": text(30),
            "mode": choose.choice(["key", "stamp_hs256"]),
            "leeway": choose.randint(0, 300),
            "max_token_bytes": 4096,
            "keys": [key("2026-11", None), key("2026-10", now + 1)],
            "epochs": [{"kind": kind, "counter": counter()} for kind in kinds("fixed")],
            "user_epochs": user_kinds,
        },
        "purpose": choose.choice(PURPOSES),
        "now": now,
        "context": {text(9): text(40) for _ in range(choose.randint(0, 3))},
        "record": {
            "id": text(40),
            "secrets": secrets,
            "version": counter(),
            "active": True,
            "carried": choose.choice([None, counts, void]),
            "epochs": [user_epoch(kind) for kind in user_kinds],
            "lane": counter(),
        },
    }
    own = {"role": text(9), f"own {text(9)}": [counter(), {"deep": [text(9), True, None]}]}
    audience = choose.choice([None, [text(9), inputs["authority"]["audience"]]])
    exp = now + choose.randint(1, 3600)
    issued = (inputs, now, exp, choose.randbytes(16), audience, own)
    expect = {"verdict": "accepted", "claims": shown(claims_for(*issued)), "lookup": True}
    return {**inputs, "token": issue(*issued), "expect": expect}
