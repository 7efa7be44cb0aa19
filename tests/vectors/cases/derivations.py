"""Cases of derivations.json."""

from format1.claims import MAX_COUNTER
from format1.derivation import rehash
from format1.verdicts import (
    derive,
    derive_refresh,
    derive_rehash,
    with_defaults,
)

from . import devices
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
    OTHER_TAG,
    PARTNER,
    REHASHED,
    RESET,
    STAMP,
    complete,
    realm,
    session,
    tenant,
)


# Around the ends of the blocks of the hash function in the messages of guard and nonce.
ID_LENGTHS = (1, 36, 37, 38, 39, 40, 47, 48, 103, 104, 255)


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
    bare = {"epochs": [{**epoch, "instance": None} for epoch in in_groups]}
    outer_three = {"authority": counted, "record": {"epochs": in_groups}}
    long = {"authority": {"max_token_bytes": 16384}}
    return {
        "defaults": DEFAULTS,
        "cases": [
            case("defaults"),
            case("a purpose without a lane has an empty one", record={"lane": 9}),
            case("lane", purpose=RESET, record={"lane": 9}),
            case("lane 0 is not an empty one", purpose=RESET),
            case("a portable purpose with a lane", purpose=PARTNER, record={"lane": 9}),
            case("lane 0 of a portable purpose", purpose=PARTNER),
            case("the greatest lane", purpose=PARTNER, record={"lane": MAX_COUNTER}),
            case("another type", purpose=INVITE),
            case("another issuer", authority={"issuer": "https://login.example.org"}),
            case("another master key", authority={"keys": [{**KEY, "master": OTHER_MASTER}]}),
            case("a master key of 65 bytes", authority={"keys": [{**KEY, "master": "0b" * 65}]}),
            bound("a user id beyond ASCII", id="Ünï-используй-用户-🔑"),
            bound("a user id that JSON escapes", id='tab\t"quote" \\ \x01 \x7f \u2028'),
            bound("a user id of control characters", id="".join(map(chr, range(0x20)))),
            *(bound(f"a user id of {length} bytes", id="a" * length) for length in ID_LENGTHS),
            bound("a user id that is a UUID", id="0192f6a4-7c3e-7d21-9b8a-0123456789ab"),
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
            case("fixed and user epochs", **outer_three),
            case("three epochs without instances", authority=counted, record=bare),
            case(
                "user epochs alone",
                authority={"user_epochs": ["region", "tenant"]},
                record={"epochs": in_groups},
            ),
            case(
                "an epoch of 0 and the greatest epoch",
                authority={"epochs": [realm(0), {"kind": "x", "counter": MAX_COUNTER}]},
            ),
            case(
                "three epochs, lane and context", purpose=PARTNER, context={"a": "b"}, **outer_three
            ),
            *(
                case(
                    f"an epoch with {name}",
                    authority={"user_epochs": ["tenant"]},
                    record={"epochs": [tenant(instance, 7)]},
                )
                for name, instance in {
                    "an empty instance": "",
                    "a colon in its instance": "a:b",
                    "an instance beyond ASCII": 'Ünï "用户" \\ \x1f 🔑',
                    "an instance of 300 bytes": "x" * 300,
                }.items()
            ),
            case("context", context={"email": "new@example.com"}),
            case("context of two kinds", context={"fingerprint": "f00d", "address": "192.0.2.1"}),
            case("kinds are sorted as UTF-8", context={"🔑": "1", "～": "2", "z": "3", "Z": "4"}),
            case("context of 4096 bytes", context={"address": "x" * 4096}),
            case("context of two kinds, lane", purpose=PARTNER, context={"a": "1", "b": "2"}),
            case("one second to live", exp=ISSUED + 1),
            case("other randomness", entropy="ff" * 16),
            case("a session", sid=alive),
            case("the last session there can be", sid=f"63.{MAX_COUNTER}", policy=most),
            case("a session under epochs", sid=alive, authority={"epochs": [realm(1)]}),
            case("a session, with claims of the application", sid=alive, claims={"role": "admin"}),
            case(
                "control characters in a claim of the application",
                claims={"\v\x1a": "".join(map(chr, range(0x20))) + "\x7f\x80\u2028"},
            ),
            case("claims of the application", claims={"deep": [1, {"a": None}], "role": "админ"}),
            *(
                case(f"a claim of {length} bytes", claims={"pad": "x" * length}, **long)
                for length in (1024, 4096, 8192)
            ),
            # Around the ends of the blocks of the hash function.
            *(
                case(
                    f"a claim of {length} bytes, at the end of a block",
                    claims={"pad": "x" * length},
                )
                for length in range(40, 104, 8)
            ),
            case(
                "everything at once, in stamp mode too",
                claims={"pad": "ж" * 600, "role": "admin"},
                authority={**counted, "max_token_bytes": 16384},
                purpose=PARTNER,
                context={"email": "новый@example.com", "address": "192.0.2.1"},
                record={
                    "id": "用户",
                    "secrets": [REHASHED, "totp"],
                    "version": 1800000000123,
                    "carried": rehash(None, [HASH, "totp"], [REHASHED, "totp"]),
                    "epochs": in_groups,
                    "lane": 1800000000456,
                },
            ),
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
        "devices": devices.issued(),
        "known_devices": devices.presented(),
    }


def refreshes():
    def case(name, slot=0, generation=GENERATION, inputs=None, seq=5, **others):
        inputs = {"session": session(slot, generation, seq=seq, **others), **(inputs or {})}
        return {"name": name, **inputs, "expect": derive_refresh(complete(inputs))}

    counted = {"epochs": [realm(1)], "user_epochs": ["tenant"]}
    grouped = {"authority": counted, "record": {"epochs": [tenant("acme", 7)]}}
    other_key = {"authority": {"keys": [{**KEY, "master": OTHER_MASTER}]}}
    day = {"policy": {"absolute": DAY}}
    named = {
        "policy": {
            "absolute": DAY,
            "named": {"app": {"idle": 60 * DAY, "absolute": 70 * DAY}, "web": {"idle": 7200}},
        }
    }
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
        *(
            case(f"a user id of {length} bytes", inputs={"record": {"id": "a" * length}})
            for length in (1, 28, 29, 30, 36, 37, 38, 39, 40, 255)
        ),
        case("the tag has no part in it", tag=OTHER_TAG),
        case("the marks have no part in it", strict=True),
        case("a fixed end before the others", ends_at=ISSUED + 60),
        case("a fixed end after the idle end", ends_at=ISSUED + 15 * DAY),
        case("a named policy", inputs=named, policy="app"),
        case("a named policy without an absolute end of its own", inputs=named, policy="web"),
        case("an unknown policy", inputs=named, policy="gone"),
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
