"""Cases of derivations.json: device tokens that are issued, and those that are presented."""

from format1 import devices
from format1.claims import MAX_COUNTER
from format1.devices import LIFETIME
from format1.text import decode, encode

from .common import DAY, DEFAULTS, ENTROPY, ISSUED, KEY, OTHER_MASTER, STAMP, complete

NOW = DEFAULTS["now"]
OTHER_KEY = {"kid": "2026-10", "master": OTHER_MASTER, "until": NOW + DAY}
OTHER_ISSUER = {"issuer": "https://login.example.org"}


def issued():
    def case(name, user_id="alice", entropy=ENTROPY.hex(), lane=0, **inputs):
        inputs = {"record": {"id": user_id, "lane": lane}, "entropy": entropy, **inputs}
        return {"name": name, **inputs, "expect": devices.issue(complete(inputs))}

    return [
        case("defaults"),
        case("another user", "bob"),
        case("another device", entropy="ff" * 16),
        case("another time", now=ISSUED),
        case("another lane", lane=1800000000123),
        case("the greatest lane", lane=MAX_COUNTER),
        case("another issuer", authority=OTHER_ISSUER),
        case("another master key", authority={"keys": [{**KEY, "master": OTHER_MASTER}]}),
        case("the first key of two", authority={"keys": [KEY, OTHER_KEY]}),
        case("stamp mode has no part in it", authority=STAMP),
        case("the version has no part in it", record={"version": 4}),
        case("the hash has no part in it", record={"secrets": ["another"]}),
        case("a user id beyond ASCII", "用户"),
        *(case(f"a user id of {length} bytes", "a" * length) for length in (22, 23, 24, 87, 255)),
    ]


def presented():
    def token(user_id="alice", lane=0, at=NOW, **inputs):
        inputs = {"record": {"id": user_id, "lane": lane}, "now": at, **inputs}
        return devices.issue(complete({"entropy": ENTROPY.hex(), **inputs}))

    def case(name, expect, text, **inputs):
        return {"name": name, "token": text, **inputs, "expect": expect}

    def known(name, text, **inputs):
        return case(name, True, text, **inputs)

    def unknown(name, text, **inputs):
        return case(name, False, text, **inputs)

    def edited(edit, text=None):
        return encode(edit(bytearray(decode(text or token()))))

    def flipped(at):
        def edit(raw):
            raw[at] ^= 1
            return raw

        return edited(edit)

    end = NOW + LIFETIME
    old = token(authority={"keys": [OTHER_KEY]})

    def ring(until):
        return {"authority": {"keys": [KEY, {**OTHER_KEY, "until": until}]}}

    return [
        known("defaults", token()),
        known("another password", token(), record={"secrets": ["another"]}),
        known("another version", token(), record={"version": 4}),
        known("a user id beyond ASCII", token("用户"), record={"id": "用户"}),
        known("a user id of 255 bytes", token("a" * 255), record={"id": "a" * 255}),
        unknown("another user", token("bob")),
        unknown("a user id that begins with this one", token("alice2")),
        unknown("no user id", token("")),
        known("the last second", token(), now=end - 1),
        unknown("expired", token(), now=end),
        unknown("long expired", token(), now=end + LIFETIME),
        known("the greatest end", token(at=MAX_COUNTER - LIFETIME)),
        known("a lane", token(lane=9), record={"lane": 9}),
        unknown("an older lane", token(), record={"lane": 1}),
        unknown("a lane ahead of the record", token(lane=1)),
        known("the second key", old, **ring(NOW + DAY)),
        known("the second key, one second before its deadline", old, **ring(NOW + 1)),
        unknown("the second key at its deadline", old, **ring(NOW)),
        unknown("a removed key", old),
        unknown("another issuer", token(authority=OTHER_ISSUER)),
        unknown("the last bit of the first half of the code", flipped(7)),
        unknown("the last bit of the code", flipped(15)),
        unknown("another device id", flipped(16)),
        unknown("another end", flipped(39)),
        unknown("another lane under the same code", flipped(47), record={"lane": 1}),
        unknown("another user id under the same code", flipped(48), record={"id": "`lice"}),
        unknown("a byte more", edited(lambda raw: raw + b"x"), record={"id": "alicex"}),
        unknown("a byte less", edited(lambda raw: raw[:-1]), record={"id": "alic"}),
        unknown("a code alone", edited(lambda raw: raw[:16])),
        unknown("an empty text", ""),
        unknown("padding", token() + "="),
        unknown("a space", token() + " "),
        unknown("no base64url", "?" + token()[1:]),
        unknown("bits after the last byte", token("alic")[:-1] + "x", record={"id": "alic"}),
    ]
