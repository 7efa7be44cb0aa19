#!/usr/bin/env python3
"""Format 1 of relatch's tokens, written a second time from its description.

It shares no code with the library, so that the two judge each other. Its binding modes are `key`
and `stamp_hs256`. It is made for tests: secrets stay in its memory, so build no service on it.

    format1.py generate    writes the test vectors of vectors/cases.py, always the same bytes
    format1.py check       verifies every vector, and that the files are what `generate` writes
    format1.py issue N     prints N random scenarios, one JSON object a line, each with its token
    format1.py verify      verifies such lines, read from the standard input
"""

import base64
import hashlib
import hmac
import json
import pathlib
import random
import re
import sys

# The modules beside this one leave no compiled files in the tree.
sys.dont_write_bytecode = True

VECTORS = pathlib.Path(__file__).parent / "vectors"

MAX_NUMERIC_DATE = 253402300799  # 9999-12-31T23:59:59Z
MAX_COUNTER = 2**63 - 1
MAX_EPOCHS = 16
MAX_ID_BYTES = 255
MAX_SECRET_BYTES = 2**20
MAX_EXPLAINED_HEADER_BYTES = 512


# Bytes and text


def u64(number):
    return number.to_bytes(8, "big")


def frame(*pieces):
    """Each piece behind its length, so that no two lists of pieces give the same bytes."""
    raw = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    return b"".join(len(piece).to_bytes(4, "big") + piece for piece in raw)


def encode(raw):
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text):
    """The bytes of canonical base64url; `None` for every other text."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    # The decoder skips what is not of the alphabet and drops stray bits: encoding again shows it.
    return raw if encode(raw) == text else None


def compact_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def hs256(key, signing_input):
    return hmac.new(key, signing_input.encode(), hashlib.sha256).digest()


# Derivation


def credential(secrets):
    return hashlib.sha256(frame("relatch/1 credential", *secrets)).digest()


def effective(secrets, carried):
    """What tokens are bound to: the carried digest while it stands for these secrets."""
    present = credential(secrets)
    if carried is not None:
        pair = decode(carried)
        digest, stands_for = pair[:32], pair[32:]
        if hmac.compare_digest(stands_for, present):
            return digest
    return present


def rehash(carried, old_secrets, new_secrets):
    """The pair to store when the same password is hashed anew."""
    return encode(effective(old_secrets, carried) + credential(new_secrets))


def outer_epochs(authority, record):
    """Names and counters, outermost first."""
    fixed = [(epoch["kind"], epoch["counter"]) for epoch in authority["epochs"]]
    own = []
    for epoch in record["epochs"]:
        instance = epoch["instance"]
        name = epoch["kind"] if instance is None else f"{epoch['kind']}:{instance}"
        own.append((name, epoch["counter"]))
    return fixed + own


def body(authority, purpose, record, context):
    epochs = outer_epochs(authority, record)
    outer = frame(*(piece for name, counter in epochs for piece in (name, u64(counter))))
    lane = u64(record["lane"]) if purpose["lane"] else b""
    pairs = sorted((kind.encode(), value.encode()) for kind, value in context.items())
    bound_context = frame(*(piece for pair in pairs for piece in pair))
    digest = effective(record["secrets"], record["carried"])
    return frame(record["id"], digest, outer, u64(record["version"]), lane, bound_context)


class Derivation:
    """What one master key gives for the tokens of one issuer and type."""

    def __init__(self, master, issuer, typ):
        self.master, self.issuer, self.typ = bytes.fromhex(master), issuer, typ

    def _mac(self, label, rest=b""):
        head = frame("relatch/1 " + label, self.typ, self.issuer)
        return hmac.new(self.master, head + rest, hashlib.sha256).digest()

    def user_key(self, bound):
        return self._mac("key", bound)

    def server_key(self):
        return self._mac("server")

    def guard(self, subject, exp, nonce):
        return self._mac("guard", frame(subject, u64(exp), nonce))[:8]

    def stamp(self, bound, jti, exp):
        return self._mac("stamp", bound + frame(jti, u64(exp)))[:16]


# Issuing


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


# Verifying


class Rejected(Exception):
    def __init__(self, stage, reason):
        super().__init__(f"{stage}: {reason}")
        self.stage, self.reason = stage, reason


class UnfitRecord(Exception):
    """A fault of the server's data, which says nothing of the token."""


def verify(authority, purpose, now, token, context, lookup):
    """The claims that are shown, or the first thing that is wrong.

    `lookup` takes a user's id and gives the record, `None` if there is no such user.
    """
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
    in_key_mode = authority["mode"] == "key"
    if ("stamp" in claims) == in_key_mode or ("lane" in claims) != purpose["lane"]:
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
    bound = body(authority, purpose, record, context)
    if in_key_mode:
        if not hmac.compare_digest(hs256(derivation.user_key(bound), signing_input), signature):
            raise Rejected("binding", "bad_signature")
    elif not hmac.compare_digest(derivation.stamp(bound, jti, exp), decode(claims["stamp"])):
        raise Rejected("binding", "revoked_by_stamp")

    if any(not isinstance(claims.get(name), str) for name in purpose["strings"]):
        raise Rejected("application", "application_claims")
    return shown(claims)


def find_key(authority, purpose, header):
    """The key whose pinned header this is."""
    for key in authority["keys"]:
        if header == pinned_header(key["kid"], purpose["typ"]):
            return key
    # No header but a pinned one is accepted: what follows only names the fault for a log.
    raw = decode(header) or b""
    form = rb'{"alg":"([^"\\]*)","kid":"([^"\\]*)","typ":"[^"\\]*"}'
    own_form = re.fullmatch(form, raw)
    if not own_form or len(raw) > MAX_EXPLAINED_HEADER_BYTES:
        raise Rejected("header", "malformed")
    alg, kid = own_form.groups()
    if kid not in [key["kid"].encode() for key in authority["keys"]]:
        raise Rejected("header", "unknown_key")
    raise Rejected("header", "wrong_algorithm" if alg != b"HS256" else "wrong_type")


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
OPTIONAL = {"epochs": is_epochs, "lane": is_counter, "stamp": is_16_bytes}
# Registered for what this version does not check: accepting them unread would be unsafe.
UNCHECKED = {"nbf", "sid", "seq"}


def shown(claims):
    """Without what is carried to be checked alone."""
    return {name: value for name, value in claims.items() if name not in OPTIONAL}


def parse_int(digits):
    # JSON's -0 is no natural number, which int() would make of it.
    return -0.0 if digits == "-0" else int(digits)


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def read_claims(payload):
    malformed = Rejected("claims", "malformed")
    try:
        claims = json.loads(
            payload.decode(),
            object_pairs_hook=Members,
            parse_int=parse_int,
            parse_constant=refuse_constant,
        )
    except (ValueError, RecursionError):
        raise malformed from None
    if not isinstance(claims, Members) or claims.repeats or not all(map(is_text, claims)):
        raise malformed
    if not REQUIRED.keys() <= claims.keys() or UNCHECKED & claims.keys():
        raise malformed
    forms = {**REQUIRED, **OPTIONAL}
    if not all(forms[name](claims[name]) for name in forms.keys() & claims.keys()):
        raise malformed
    return claims


# Test vectors and interoperation


def verdict(case):
    """What this implementation says of a case, in the form in which the case expects it."""
    asked = []

    def lookup(user_id):
        asked.append(user_id)
        return case["record"]

    try:
        inputs = [case[name] for name in ("authority", "purpose", "now", "token", "context")]
        said = {"verdict": "accepted", "claims": verify(*inputs, lookup)}
    except Rejected as rejected:
        said = {"verdict": "rejected", "stage": rejected.stage, "reason": rejected.reason}
    except UnfitRecord:
        said = {"verdict": "unfit_record"}
    return {**said, "lookup": bool(asked)}


def derive(case):
    """All that a derivation case expects, from its inputs."""
    authority, purpose = case["authority"], case["purpose"]
    entropy = bytes.fromhex(case["entropy"])
    derivation = Derivation(authority["keys"][0]["master"], authority["issuer"], purpose["typ"])
    bound = body(authority, purpose, case["record"], case["context"])
    subject, exp, own = case["record"]["id"], case["exp"], case["claims"]

    def token(mode):
        inputs = {**case, "authority": {**authority, "mode": mode}}
        return issue(inputs, case["iat"], exp, entropy, own=own)

    return {
        "credential": effective(case["record"]["secrets"], case["record"]["carried"]).hex(),
        "body": bound.hex(),
        "user_key": derivation.user_key(bound).hex(),
        "guard": derivation.guard(subject, exp, entropy[:8]).hex(),
        "server_key": derivation.server_key().hex(),
        "stamp": encode(derivation.stamp(bound, encode(entropy), exp)),
        "key_token": token("key"),
        "stamp_hs256_token": token("stamp_hs256"),
    }


def with_defaults(defaults, case):
    """The case with what it leaves out: objects of settings are completed member by member."""
    full = {**defaults, **case}
    for name in ("authority", "purpose", "record"):
        if full[name] is not None:
            full[name] = {**defaults[name], **full[name]}
    return full


def same(a, b):
    # As text: to Python, true is 1 and 1 is 1.0.
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def generated_files():
    # Not at the top: the cases in their turn import this module.
    from vectors import cases

    files = {"derivations.json": cases.derivations(), "tokens.json": cases.tokens()}
    return {
        VECTORS / name: json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        for name, content in files.items()
    }


def generate():
    for path, text in generated_files().items():
        path.write_bytes(text.encode())


def check():
    results = [
        (f"{path.name} is what `generate` writes", path.read_bytes() == text.encode())
        for path, text in generated_files().items()
    ]
    derivations = json.loads((VECTORS / "derivations.json").read_bytes())
    for case in derivations["cases"]:
        full = with_defaults(derivations["defaults"], case)
        results.append((case["name"], same(derive(full), case["expect"])))
    for case in derivations["rehashes"]:
        pair = rehash(case["carried_before"], case["secrets_before"], case["secrets_after"])
        results.append((case["name"], pair == case["carried_after"]))
    tokens = json.loads((VECTORS / "tokens.json").read_bytes())
    for case in tokens["cases"]:
        full = with_defaults(tokens["defaults"], case)
        results.append((case["name"], same(verdict(full), case["expect"])))
    return report(results)


def issue_scenarios(count):
    from vectors import cases

    for _ in range(count):
        print(json.dumps(cases.random_scenario(random.SystemRandom())))


def verify_scenarios(lines):
    choose = random.SystemRandom()
    results = []
    for number, line in enumerate(lines, 1):
        case = json.loads(line)
        results.append((f"line {number} is accepted", same(verdict(case), case["expect"])))
        flipped = {**case, "token": flip(case["token"], choose)}
        said = verdict(flipped)["verdict"]
        results.append((f"line {number} with another character", said == "rejected"))
    return report(results)


def flip(token, choose):
    at = choose.randrange(len(token))
    other = choose.choice([char for char in "-0Aa_" if char != token[at]])
    return token[:at] + other + token[at + 1 :]


def report(results):
    failed = [name for name, passed in results if not passed]
    for name in failed:
        print(f"FAILED {name}")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    # Of nothing nothing was shown.
    return 1 if failed or not results else 0


def main(arguments):
    if arguments == ["generate"]:
        return generate()
    if arguments == ["check"]:
        return check()
    if arguments == ["verify"]:
        return verify_scenarios(sys.stdin)
    if len(arguments) == 2 and arguments[0] == "issue" and arguments[1].isdecimal():
        return issue_scenarios(int(arguments[1]))
    return __doc__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
