"""Cases of derivations.json."""

from format1.claims import MAX_COUNTER
from format1.derivation import rehash
from format1.verdicts import derive, derive_refresh, derive_rehash, with_defaults

from .common import (
    CHANGED,
    DAY,
    DEFAULTS,
    ENTROPY,
    EXPIRES,
    GENERATION,
    HASH,
    INVITE,
    ISSUED,
    KEY,
    OTHER_MASTER,
    REHASHED,
    RESET,
    STAMP,
    complete,
    realm,
    session,
    tenant,
)


def content():
    def case(name, claims=None, **overrides):
        inputs = {"iat": ISSUED, "exp": EXPIRES, "entropy": ENTROPY.hex(), "claims": claims or {}}
        inputs.update(overrides)
        return {"name": name, **inputs, "expect": derive(with_defaults(DEFAULTS, inputs))}

    def bound(name, **record):
        return case(name, record=record)

    counted = {"epochs": [realm(1)], "user_epochs": ["region", "tenant"]}
    in_groups = [{"kind": "region", "instance": None, "counter": 5}, tenant("acme", 7)]
    carried = rehash(None, [HASH], [REHASHED])
    alive, most = f"3.{GENERATION}", {"max_sessions": 64}
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
            case("a session", sid=alive),
            case("the last session there can be", sid=f"63.{MAX_COUNTER}", policy=most),
            case("a session under epochs", sid=alive, authority={"epochs": [realm(1)]}),
            case("a session, with claims of the application", sid=alive, claims={"role": "admin"}),
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
        "refreshes": refreshes(),
        "rehashes": rehashes(),
    }


def refreshes():
    def case(name, slot=0, generation=GENERATION, inputs=None, seq=5, **others):
        inputs = {"session": session(slot, generation, seq=seq, **others), **(inputs or {})}
        return {"name": name, **inputs, "expect": derive_refresh(complete(inputs))}

    counted = {"epochs": [realm(1)], "user_epochs": ["tenant"]}
    grouped = {"authority": counted, "record": {"epochs": [tenant("acme", 7)]}}
    other_key = {"authority": {"keys": [{**KEY, "master": OTHER_MASTER}]}}
    day = {"policy": {"absolute": DAY}}
    everything = {
        "authority": {"mode": "stamp_hs256", **counted},
        "policy": {"max_sessions": 64, "idle": 30 * DAY, "absolute": 60 * DAY},
        "context": {"email": "новый@example.com"},
        "record": {**grouped["record"], "id": "用户", "version": 1800000000123},
    }
    return [
        case("defaults"),
        case("another slot", slot=7),
        case("the last slot", slot=63, inputs={"policy": {"max_sessions": 64}}),
        case("another generation", generation=GENERATION + 1),
        case("generation 1", generation=1),
        case("the greatest generation", generation=MAX_COUNTER),
        case("seq 0", seq=0),
        case("seq 0 in another slot", slot=2, seq=0),
        case("seq 1", seq=1),
        case("the greatest seq", seq=MAX_COUNTER),
        case("slot, generation and seq in another order", slot=2, generation=3, seq=1),
        case("last seen later", last_seen=ISSUED + 3600),
        case("the absolute end before the idle end", last_seen=ISSUED + 80 * DAY),
        case("both ends at once", last_seen=ISSUED + 76 * DAY),
        case("another policy", inputs=day),
        case("stamp mode has no part in it", inputs={"authority": STAMP}),
        case("the label has no part in it", label="another"),
        case("the lane has no part in it", inputs={"record": {"lane": 9}}),
        case("another user", inputs={"record": {"id": "bob"}}),
        case("another version", inputs={"record": {"version": 4}}),
        case("another master key", inputs=other_key),
        case("another issuer", inputs={"authority": {"issuer": "https://login.example.org"}}),
        case("context", inputs={"context": {"address": "192.0.2.1"}}),
        case("fixed and user epochs", inputs=grouped),
        case("everything at once", 41, 1800000000456, everything, seq=17, last_seen=ISSUED + 9),
    ]


def rehashes():
    def case(name, before, carried, after):
        inputs = {"secrets_before": before, "carried_before": carried, "secrets_after": after}
        return {"name": name, **inputs, "expect": derive_rehash(inputs)}

    first = rehash(None, [HASH], [REHASHED])
    return [
        case("the first rehash", [HASH], None, [REHASHED]),
        case("a further rehash keeps the digest", [REHASHED], first, [REHASHED + "+"]),
        case("a rehash after a password change", [CHANGED], first, [CHANGED + "+"]),
    ]
