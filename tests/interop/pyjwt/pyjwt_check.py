"""PyJWT as a judge of relatch's tokens: reads the output of `sample_tokens` (tests/interop/rust) on stdin."""

import hashlib
import hmac
import json
import sys

import jwt

document = json.load(sys.stdin)
expected = {"issuer": document["issuer"], "audience": document["audience"], "leeway": 0}
required = {"require": ["iss", "sub", "aud", "exp", "iat", "jti"]}
passed = 0


def accepts(token, key, algorithm):
    claims = jwt.decode(token, key, algorithms=[algorithm], options=required, **expected)
    assert claims["sub"] == document["subject"], claims
    return claims


def refuses(token, key, algorithm):
    try:
        accepts(token, key, algorithm)
    except jwt.InvalidTokenError:
        return
    raise AssertionError(f"accepted: {algorithm}")


def flipped(token):
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


# Key mode: verified with the exposed key, and signed again to the same bytes.
token, key = document["hs256"]["token"], bytes(document["hs256"]["key"])
claims = accepts(token, key, "HS256")
refuses(flipped(token), key, "HS256")
refuses(token, bytes(32), "HS256")
header = {"kid": "key", "typ": "at+jwt"}
payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
again = jwt.api_jws.encode(payload, key, algorithm="HS256", headers=header, sort_headers=True)
assert again == token, "signed again, the token has other bytes"
passed += 1

# Stamp mode with HS256: verified with the server's key, which the master key yields.
frame = b"".join(
    len(piece).to_bytes(4, "big") + piece
    for piece in (b"relatch/1 server", b"at+jwt", document["issuer"].encode())
)
token = document["stamped"]["token"]
server_key = hmac.digest(bytes(document["stamped"]["master"]), frame, hashlib.sha256)
accepts(token, server_key, "HS256")
refuses(flipped(token), server_key, "HS256")
passed += 1

# Asymmetric: verified with the published key of the header's kid alone.
keys = jwt.PyJWKSet.from_dict(document["jwks"])
for token in document["signed"]:
    header = jwt.get_unverified_header(token)
    accepts(token, keys[header["kid"]].key, header["alg"])
    refuses(flipped(token), keys[header["kid"]].key, header["alg"])
    other = next(key for key in keys.keys if key.key_id != header["kid"])
    assert other.algorithm_name != header["alg"]
    passed += 1

# PyJWT ignores `typ`, so no other token may verify with a key that verifies access tokens.
verifiers = [(key.key, key.algorithm_name) for key in keys.keys] + [(server_key, "HS256")]
assert len(document["not_portable"]) == 21 and len(verifiers) == 3
for token in document["not_portable"]:
    for key, algorithm in verifiers:
        refuses(token, key, algorithm)
    passed += 1

print(f"{passed} passed, 0 failed")
