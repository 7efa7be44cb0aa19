"""Cases of sessions.json: the list of a user's sessions."""

from format1.derivation import rehash

from .common import (
    CHANGED,
    DAY,
    HASH,
    ISSUED,
    KEY,
    MARKS,
    OTHER_MASTER,
    OTHER_TAG,
    REHASHED,
    STAMP,
    realm,
    session,
    table,
    tag_of,
    tenant,
)
from .transitions import NOW


def lists():
    """A record, and the `sid`s of the sessions that are listed."""

    def case(name, sessions, listed, **inputs):
        record = {"sessions": sessions, **inputs.pop("record", {})}
        return {"name": name, **inputs, "record": record, "expect": listed}

    three = [session(0, 9), session(4, 7), session(15, 8)]
    all_three, sids = table(*three), ["0.9", "4.7", "15.8"]
    yield case("before the first session", None, [])
    yield case("no session", table(), [])
    yield case("three sessions", all_three, sids)
    marks = [session(0, 9, repeated=True), session(1, 8, strict=True), session(2, 7, **MARKS)]
    yield case("sessions with marks", table(*marks), ["0.9", "1.8", "2.7"])
    full = [session(slot, 100 - slot) for slot in range(64)]
    most = {"policy": {"max_sessions": 64}}
    yield case("64 sessions", table(*full), [f"{slot}.{100 - slot}" for slot in range(64)], **most)
    yield case("beyond fewer slots", all_three, sids[:2], policy={"max_sessions": 15})
    yield case("beyond the slots", table(session(15, 3), session(16, 2)), ["15.3"])
    ahead = table(session(0, 9, started_at=NOW + DAY, last_seen=NOW + DAY))
    yield case("after the clock was set back", ahead, ["0.9"])
    # `next` of the version is only the source of new generations.
    higher = {"version": 100}
    bound = table(session(0, 9, tag=tag_of(record=higher)))
    yield case("a generation below the version", bound, ["0.9"], record=higher)

    over = [session(0, 9), session(1, 8, started_at=ISSUED + 1, last_seen=ISSUED + 1)]
    for end in ("idle", "absolute"):
        yield case(f"at the {end} end", table(*over), ["1.8"], policy={end: 60})
        yield case(f"a second before the {end} end", table(*over), ["0.9", "1.8"], policy={end: 61})
    fixed = [session(0, 9, ends_at=NOW), session(1, 8, ends_at=NOW + 1), session(2, 7, ends_at=0)]
    yield case("at a fixed end", table(*fixed), ["1.8"])
    named = [session(0, 9, policy="web"), session(1, 8, policy="app"), session(2, 7)]
    several = {"policy": {"named": {"web": {"idle": 60}, "app": {"idle": 61}}}}
    yield case("named policies", table(*named), ["1.8", "2.7"], **several)
    unknown = [session(0, 9, policy="gone"), session(1, 8)]
    yield case("an unknown policy", table(*unknown), ["1.8"], **several)

    for name, record in {
        "the password was changed": {"secrets": [CHANGED]},
        "the password was hashed again without a carried pair": {"secrets": [REHASHED]},
        "a secret was added": {"secrets": [HASH, "totp"]},
        "the version was raised": {"version": 4},
        "the version is behind": {"version": 2},
    }.items():
        yield case(f"sessions before {name}", all_three, [], record=record)
    carried = {"secrets": [REHASHED], "carried": rehash(None, [HASH], [REHASHED])}
    yield case("sessions before a rehash", all_three, sids, record=carried)
    void = {"secrets": [CHANGED], "carried": carried["carried"]}
    yield case("sessions before a rehash and a change of the password", all_three, [], record=void)
    mixed = [three[0], {**three[1], "tag": OTHER_TAG}, three[2]]
    yield case("a session with another tag among others", table(*mixed), ["0.9", "15.8"])
    yield case("the record of the other tag", table(*mixed), ["4.7"], record={"secrets": [CHANGED]})

    yield case("a fixed epoch was added", all_three, [], authority={"epochs": [realm(1)]})
    epoch = {"authority": {"epochs": [realm(1)], "user_epochs": ["tenant"]}}
    in_acme = {"epochs": [tenant("acme", 7)]}
    bound = table(session(0, 9, tag=tag_of(record=in_acme, **epoch)))
    yield case("sessions under epochs", bound, ["0.9"], record=in_acme, **epoch)
    for name, other in {
        "a user epoch was raised": tenant("acme", 8),
        "a user epoch is of another instance": tenant("initech", 7),
        "a user epoch is of no instance": tenant(None, 7),
    }.items():
        yield case(name, bound, [], record={"epochs": [other]}, **epoch)
    raised = {"authority": {**epoch["authority"], "epochs": [realm(2)]}}
    yield case("a fixed epoch was raised", bound, [], record=in_acme, **raised)

    yield case("an inactive user", all_three, [], record={"active": False})
    yield case("no secret", all_three, [], record={"secrets": []})
    yield case("an empty secret", all_three, [], record={"secrets": [""]})
    yield case("an empty second secret", all_three, [], record={"secrets": [HASH, ""]})

    for name, secrets in {"no secret": [], "an empty secret": [""]}.items():
        bound = table(session(0, 9, tag=tag_of(record={"secrets": secrets})))
        name = f"{name}, and a session whose tag is that of the record"
        yield case(name, bound, [], record={"secrets": secrets})

    other_key = {"authority": {"keys": [{**KEY, "kid": "2026-12", "master": OTHER_MASTER}]}}
    other_issuer = {"authority": {"issuer": "https://login.example.org"}}
    for name, inputs in {
        "another master key": other_key,
        "another issuer": other_issuer,
        "another audience": {"authority": {"audience": "https://api.example.org"}},
        "stamp mode": {"authority": STAMP},
        "a context": {"context": {"address": "192.0.2.1"}},
        "a lane": {"record": {"lane": 9}},
        "another user id": {"record": {"id": "bob"}},
    }.items():
        yield case(f"the tag does not depend on {name}", all_three, sids, **inputs)
