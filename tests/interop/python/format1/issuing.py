"""Issuing tokens."""

from .derivation import Derivation, body, outer_epochs
from .policies import end_of
from .sessions import sid_of
from .text import compact_json, encode, hs256

ACCESS = {"typ": "at+jwt", "lane": False, "strings": [], "portable": True}
REFRESH = {"typ": "rt+jwt", "lane": False, "strings": [], "portable": False}


def is_in_key_mode(authority, purpose):
    return authority["mode"] == "key" or not purpose["portable"]


def pinned_header(kid, typ):
    return encode(compact_json({"alg": "HS256", "kid": kid, "typ": typ}).encode())


def claims_for(inputs, iat, exp, entropy, audience=None, own=None, session=None):
    """The claims in the order in which they are written, without the stamp.

    `entropy` is 16 bytes, `session` the claims `sid` and `seq` as far as there are such.
    """
    authority, purpose, record = inputs["authority"], inputs["purpose"], inputs["record"]
    jti = entropy
    if is_in_key_mode(authority, purpose):
        nonce = entropy[:8]
        jti = nonce + issuing_derivation(inputs).guard(record["id"], exp, nonce)
    claims = {
        "iss": authority["issuer"],
        "sub": record["id"],
        "aud": audience or authority["audience"],
        "exp": exp,
        "iat": iat,
        "jti": encode(jti),
        "ver": record["version"],
    }
    epochs = outer_epochs(authority, record)
    if epochs:
        claims["epochs"] = dict(epochs)
    claims.update(session or {})
    if purpose["lane"]:
        claims["lane"] = record["lane"]
    return {**claims, **(own or {})}


def issuing_derivation(inputs):
    authority = inputs["authority"]
    return Derivation(authority["keys"][0]["master"], authority["issuer"], inputs["purpose"]["typ"])


def issuing_header(inputs):
    return pinned_header(inputs["authority"]["keys"][0]["kid"], inputs["purpose"]["typ"])


def bound_body(inputs):
    return body(inputs["authority"], inputs["purpose"], inputs["record"], inputs["context"])


def stamp_of(inputs, unstamped, header=None):
    derivation = issuing_derivation(inputs)
    return encode(derivation.stamp(bound_body(inputs), header or issuing_header(inputs), unstamped))


def stamped(inputs, payload, header=None):
    """The payload, a text that ends in its object's brace, with the stamp as the last member."""
    unstamped = payload[:-1]
    return f'{unstamped},"stamp":"{stamp_of(inputs, unstamped.encode(), header)}"}}'


def sign(inputs, payload, header=None):
    """Signs any payload, under any header, as the holder of the genuine key would."""
    if is_in_key_mode(inputs["authority"], inputs["purpose"]):
        signing_key = issuing_derivation(inputs).user_key(bound_body(inputs))
    else:
        signing_key = issuing_derivation(inputs).server_key()
    signing_input = f"{header or issuing_header(inputs)}.{encode(payload)}"
    return f"{signing_input}.{encode(hs256(signing_key, signing_input))}"


def issue(*issued):
    """A token with the inputs of `claims_for`."""
    inputs, payload = issued[0], compact_json(claims_for(*issued))
    if not is_in_key_mode(inputs["authority"], inputs["purpose"]):
        payload = stamped(inputs, payload)
    return sign(inputs, payload.encode())


def refresh_token(inputs, session):
    """The refresh token of a session at its present `seq`."""
    inputs = {**inputs, "purpose": REFRESH}
    place = (session["slot"], session["generation"], session["seq"])
    nonce = issuing_derivation(inputs).nonce(inputs["record"]["id"], *place)
    exp = end_of(session, inputs["policy"])
    carried = {"sid": sid_of(session), "seq": session["seq"]}
    return issue(inputs, session["last_seen"], exp, nonce, None, None, carried)
