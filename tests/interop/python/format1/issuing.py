"""Issuing tokens."""

from .derivation import Derivation, body, outer_epochs
from .sessions import sid_of
from .text import compact_json, encode, hs256

ACCESS = {"typ": "at+jwt", "lane": False, "strings": []}
REFRESH = {"typ": "rt+jwt", "lane": False, "strings": []}


def is_in_key_mode(authority, purpose):
    # Refresh tokens are always in key mode.
    return authority["mode"] == "key" or purpose["typ"] == REFRESH["typ"]


def pinned_header(kid, typ):
    return encode(compact_json({"alg": "HS256", "kid": kid, "typ": typ}).encode())


def claims_for(inputs, iat, exp, entropy, audience=None, own=None, session=None):
    """The claims in the order in which they are written.

    `entropy` is 16 bytes, `session` the claims `sid` and `seq` as far as there are such.
    """
    authority, purpose, record = inputs["authority"], inputs["purpose"], inputs["record"]
    derivation = Derivation(authority["keys"][0]["master"], authority["issuer"], purpose["typ"])
    in_key_mode = is_in_key_mode(authority, purpose)
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
    claims.update(session or {})
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
    if is_in_key_mode(authority, purpose):
        bound = body(authority, purpose, inputs["record"], inputs["context"])
        signing_key = derivation.user_key(bound)
    else:
        signing_key = derivation.server_key()
    signing_input = f"{header or pinned_header(key['kid'], purpose['typ'])}.{encode(payload)}"
    return f"{signing_input}.{encode(hs256(signing_key, signing_input))}"


def issue(*issued):
    """A token with the inputs of `claims_for`."""
    return sign(issued[0], compact_json(claims_for(*issued)).encode())


def refresh_token(inputs, session):
    """The refresh token of a session at its present `seq`."""
    authority, policy = inputs["authority"], inputs["policy"]
    derivation = Derivation(authority["keys"][0]["master"], authority["issuer"], REFRESH["typ"])
    place = (session["slot"], session["generation"], session["seq"])
    nonce = derivation.nonce(inputs["record"]["id"], *place)
    idle_end = session["last_seen"] + policy["idle"]
    exp = min(idle_end, session["started_at"] + policy["absolute"])
    carried = {"sid": sid_of(session), "seq": session["seq"]}
    inputs = {**inputs, "purpose": REFRESH}
    return issue(inputs, session["last_seen"], exp, nonce, None, None, carried)
