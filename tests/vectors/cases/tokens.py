"""Cases of tokens.json."""

from format1.claims import MAX_COUNTER, MAX_NUMERIC_DATE
from format1.derivation import Derivation, body, rehash
from format1.issuing import claims_for, pinned_header, sign
from format1.text import compact_json, decode, encode, hs256

from . import bindings, stamps
from .common import (
    ACCESS,
    ADMIN,
    CHANGED,
    DEFAULTS,
    ENTROPY,
    EXPIRES,
    HASH,
    INVITE,
    ISSUED,
    KEY,
    MASTER,
    OTHER_MASTER,
    PARTNER,
    REHASHED,
    RESET,
    STAMP,
    accepted,
    capped,
    complete,
    made,
    payload_of,
    realm,
    rejected,
    resigned,
    tampered,
    tenant,
    unfit,
)
from .forms import headers, lengths_and_shapes, payloads
from .reserved import reserved
from .session_tokens import refresh_checks, refresh_claims, session_checks, session_claims


def content():
    groups = [
        acceptance(),
        lengths_and_shapes(),
        headers(),
        payloads(),
        reserved(),
        stamps.forms(),
        stamps.modes(),
        stamps.long_payloads(),
        forgeries(),
        validity(),
        lookups(),
        revocations("key", "bad_signature"),
        revocations("stamp_hs256", "revoked_by_stamp"),
        lanes(),
        signatures(),
        stamps.changed_claims(),
        stamps.wrong_stamps(),
        bindings.other_derivations(),
        bindings.other_server_keys(),
        bindings.other_guards(),
        applications(),
        unfit_records(),
        session_claims(),
        session_checks("key"),
        session_checks("stamp_hs256"),
        refresh_claims(),
        refresh_checks(),
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
    yield accepted("user id of 255 bytes", record={"id": "é" * 127 + "a"})
    sixteen = [{"kind": f"epoch{i}", "counter": i} for i in range(16)]
    yield accepted("16 epochs", authority={"epochs": sixteen})
    yield accepted("a lane that the purpose does not have", record={"lane": -1})
    long = {"pad": "x" * 300}
    yield accepted("as long as the cap", own=long, seen=capped(len(made(own=long))))
    claims = claims_for(complete({}), ISSUED, EXPIRES, ENTROPY)
    shuffled = " " + compact_json(dict(reversed(claims.items()))).replace(",", " ,\n\t")
    token = sign(complete({}), shuffled.encode())
    expect = {"verdict": "accepted", "claims": claims, "lookup": True}
    yield {"name": "claims in another order, with white space", "token": token, "expect": expect}


def forgeries():
    """A token without this server's guard for the user, expiry and purpose causes no lookup."""
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
        # The guard needs the server's key; the user's key is not enough.
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
        other = {**INVITE, "portable": True}
        for name, token in {
            "another issuer's key": resigned("example.org", "example.com", authority=issuer),
            "another purpose's key": sign(
                complete({**under, "purpose": other}),
                payload_of(made(**under, purpose=other)).encode(),
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
        "the audience with more behind it": "https://api.example.com.example",
        "the audience with more before it": "x https://api.example.com",
        "the audience cut short": "https://api.example.co",
        "audience in another case": "https://API.example.com",
        "several audiences, all wrong": ["https://a.example", "https://b.example"],
        "the audience as a part of one": ["https://api.example.com/v1"],
    }.items():
        yield rejected(name, made(audience), "validity", "wrong_audience")
    aud = '"aud":"https://api.example.com"'
    token = resigned(aud, '"aud":[]')
    yield rejected("empty array of audiences", token, "validity", "wrong_audience")
    # In key mode these claims are read before the signature is checked. They may only reject.
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
    portable = {**lane, "purpose": PARTNER}
    for name, mode, inputs in (
        ("key", "key", lane),
        ("stamp_hs256", "stamp_hs256", lane),
        ("portable, key", "key", portable),
        ("portable, stamp_hs256", "stamp_hs256", portable),
    ):
        under = {**inputs, "authority": {"mode": mode}}
        for fault, counter in {"ahead": 10, "behind": 8, "at its initial value": 0}.items():
            seen = {**under, "record": {"lane": counter}}
            token = made(**under)
            yield rejected(f"{name}: lane {fault}", token, "binding", "revoked_by_lane", **seen)
    token = tampered('"lane":9', '"lane":10', **lane)
    seen = {**lane, "record": {"lane": 10}}
    yield rejected("tampered: lane of the record", token, "binding", "bad_signature", **seen)


def signatures():
    """After a valid guard, the signature decides in key mode and the stamp in stamp mode."""
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


def applications():
    yield accepted("a string that the purpose requires", own={"role": "admin"}, purpose=ADMIN)
    for name, own in {"missing": {}, "a number": {"role": 1}, "null": {"role": None}}.items():
        token = made(own=own, purpose=ADMIN)
        yield rejected(
            f"required string is {name}", token, "application", "application_claims", purpose=ADMIN
        )


def unfit_records():
    lane = {"purpose": RESET, "record": {"lane": 0}}
    for name, user in {
        "empty": "",
        "of 256 bytes": "a" * 256,
        "of 129 characters": "é" * 129,
    }.items():
        token = made(record={"id": user})
        yield unfit(f"user id {name}", token, record={"id": user})
        # This is checked before the secrets.
        yield unfit(f"user id {name}, no secret", token, record={"id": user, "secrets": []})
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
