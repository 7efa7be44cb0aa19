"""Cases of derivations.json."""

from format1.claims import MAX_COUNTER
from format1.derivation import rehash
from format1.verdicts import derive, with_defaults

from .common import (
    CHANGED,
    DEFAULTS,
    ENTROPY,
    EXPIRES,
    HASH,
    INVITE,
    ISSUED,
    KEY,
    OTHER_MASTER,
    REHASHED,
    RESET,
    realm,
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
