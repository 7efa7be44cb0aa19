"""Tokens as they are issued."""

from .derivation import Derivation, body, outer_epochs
from .text import compact_json, encode, hs256


def pinned_header(kid, typ):
    return encode(compact_json({"alg": "HS256", "kid": kid, "typ": typ}).encode())


def claims_for(inputs, iat, exp, entropy, audience=None, own=None):
    """The claims in the order in which they are written; `entropy` is 16 bytes."""
    authority, purpose, record = inputs["authority"], inputs["purpose"], inputs["record"]
    derivation = Derivation(authority["keys"][0]["master"], authority["issuer"], purpose["typ"])
    in_key_mode = authority["mode"] == "key"
    nonce = entropy[:8]
    jti = encode(nonce + derivation.guard(record["id"], exp, nonce) if in_key_mode else entropy)
    claims = {
        "iss": authority["issuer"],
        "sub": record["id"],
        "aud": audience or authority["audience"],
        "exp": exp,
        "iat": iat,
        "jti": jti,
        "ver": record["version"],
    }
    epochs = outer_epochs(authority, record)
    if epochs:
        claims["epochs"] = dict(epochs)
    if purpose["lane"]:
        claims["lane"] = record["lane"]
    if not in_key_mode:
        bound = body(authority, purpose, record, inputs["context"])
        claims["stamp"] = encode(derivation.stamp(bound, jti, exp))
    return {**claims, **(own or {})}


def sign(inputs, payload, header=None):
    """Signs any payload, under any header, as the holder of the genuine key would."""
    authority, purpose = inputs["authority"], inputs["purpose"]
    key = authority["keys"][0]
    derivation = Derivation(key["master"], authority["issuer"], purpose["typ"])
    if authority["mode"] == "key":
        bound = body(authority, purpose, inputs["record"], inputs["context"])
        signing_key = derivation.user_key(bound)
    else:
        signing_key = derivation.server_key()
    signing_input = f"{header or pinned_header(key['kid'], purpose['typ'])}.{encode(payload)}"
    return f"{signing_input}.{encode(hs256(signing_key, signing_input))}"


def issue(inputs, iat, exp, entropy, audience=None, own=None):
    claims = claims_for(inputs, iat, exp, entropy, audience, own)
    return sign(inputs, compact_json(claims).encode())
