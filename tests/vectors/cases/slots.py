"""Cases of sessions.json: the slot of a login, and what it gives to the session."""

from format1.derivation import rehash

from .common import (
    CHANGED,
    DAY,
    GENERATION,
    HASH,
    KEY,
    OTHER_MASTER,
    OTHER_TAG,
    REHASHED,
    realm,
    session,
    table,
    tag_of,
    tenant,
)
from .tables import data_of
from .transitions import NOW, case

LATER = NOW * 1000
STRICT = {"when_full": "refuse"}


def new(slot, generation=LATER, **others):
    return session(slot, generation, started_at=NOW, last_seen=NOW, **others)


def tagged():
    """Sessions that no token can use any more, because the record changed."""

    def login(name, before, left, slot, tag=None, top=LATER, **inputs):
        tag = tag or tag_of(
            **{key: inputs[key] for key in ("authority", "record") if key in inputs}
        )
        own = new(slot, top, tag=tag)
        after = table(*left, own, generation=top)
        inputs = {"sessions": table(*before), "label": own["label"], **inputs}
        version = inputs.get("record", {}).get("version", 3)
        return case(name, "log_in", "started", after, own, version=version, **inputs)

    def taking(name, before, slot, **inputs):
        left = [each for each in before if each["slot"] != slot]
        return login(name, before, left, slot, **inputs)

    def dead(slot, generation, **others):
        return session(slot, generation, **{"tag": OTHER_TAG, **others})

    def at_most(number, **others):
        return {"policy": {"max_sessions": number, **others}}

    free = [dead(0, 1), dead(2, 2)]
    yield login("a login leaves dead sessions while a slot is free", free, free, 1)
    yield login(
        "a login takes the last slot rather than that of a dead session",
        free,
        free,
        1,
        **at_most(3),
    )
    two = [
        session(0, 9, last_seen=1),
        dead(1, 8),
        dead(2, 7, last_seen=NOW),
        session(3, 6, last_seen=0),
    ]
    for name, others in (("evict", {}), ("are refused", STRICT)):
        full = at_most(4, idle=4 * 10**9, absolute=4 * 10**9, **others)
        name = f"a login takes the slot of the dead session that is oldest, where logins {name}"
        yield taking(name, two, 2, **full)
    one = [session(0, 3), dead(1, 9, last_seen=NOW), session(2, 5)]
    yield taking("a login takes the slot of the only dead session", one, 1, **at_most(3, **STRICT))
    yield taking(
        "a login takes the slot of a dead session with marks",
        [dead(0, 5, repeated=True)],
        0,
        **at_most(1, **STRICT),
    )
    only = [dead(0, 5), dead(1, 6), dead(2, 4)]
    yield taking("a login where all sessions are dead", only, 2, **at_most(3, **STRICT))
    mixed = [dead(0, 5), dead(1, 4, tag=tag_of(record={"version": 1}))]
    yield taking("a login where the dead sessions have two tags", mixed, 1, **at_most(2, **STRICT))
    expired = [dead(0, 1), session(1, 9, ends_at=NOW)]
    yield taking(
        "a login takes the slot of an expired session rather than a dead one",
        expired,
        1,
        **at_most(2),
    )
    beyond = [session(0, 9), dead(1, 8), dead(3, 1)]
    name = "a login takes no slot beyond fewer slots from a dead session"
    yield login(name, beyond, beyond[:1], 1, **at_most(2, **STRICT))

    alive = [session(0, 9), session(1, 8)]
    before = {"when_full": "refuse", "max_sessions": 2}
    for name, record in {
        "a change of the password": {"secrets": [CHANGED]},
        "a rehash without a carried pair": {"secrets": [REHASHED]},
        "a version": {"version": 4},
        "a version behind": {"version": 2},
    }.items():
        yield taking(f"a login takes a slot after {name}", alive, 1, record=record, policy=before)
    epochs = {"authority": {"epochs": [realm(1)], "user_epochs": ["tenant"]}}
    for name, inputs in {
        "a fixed epoch": {"authority": {"epochs": [realm(1)]}},
        "fixed and user epochs": {**epochs, "record": {"epochs": [tenant("acme", 7)]}},
    }.items():
        yield taking(f"a login takes a slot after {name}", alive, 1, policy=before, **inputs)
    under = {**epochs, "record": {"epochs": [tenant("acme", 7)]}}
    tags = {"tag": tag_of(**under)}
    raised = {**epochs, "record": {"epochs": [tenant("acme", 8)]}}
    grouped = [session(0, 9, **tags), session(1, 8, **tags)]
    yield taking(
        "a login takes a slot after an epoch was raised", grouped, 1, policy=before, **raised
    )

    def refused(name, before, **inputs):
        inputs = {"sessions": table(*before), "label": "", **inputs}
        version = inputs.get("record", {}).get("version", 3)
        return case(name, "log_in", "refused", table(*before), version=version, **inputs)

    carried = {"secrets": [REHASHED], "carried": rehash(None, [HASH], [REHASHED])}
    other_key = {"keys": [{**KEY, "kid": "2026-12", "master": OTHER_MASTER}]}
    for name, inputs in {
        "a rehash with a carried pair": {"record": carried},
        "a lane": {"record": {"lane": 9}},
        "a context": {"context": {"address": "192.0.2.1"}},
        "another master key": {"authority": other_key},
    }.items():
        yield refused(f"a login is refused after {name}", alive, policy=before, **inputs)
    yield refused("a login is refused under epochs", grouped, policy=before, **under)
    # The version is only the source of new generations.
    high = {"version": GENERATION + 1}
    tags = {"tag": tag_of(record=high)}
    old = [session(0, 9, **tags), session(1, 8, **tags)]
    name = "a login is refused by sessions whose generations are below the version"
    yield refused(name, old, record=high, policy=before)
    name = "a login leaves a session whose generation is below the version"
    yield login(name, old, old, 2, record=high)
    behind = {"version": 2}
    tags = {"tag": tag_of(record=behind)}
    mixed = [session(0, 9, last_seen=NOW - 1, **tags), session(1, 8, last_seen=NOW - 2, **tags)]
    name = "a login evicts as the tag is that of the record, whatever it was"
    yield taking(name, mixed, 1, record=behind, **at_most(2))


def given():
    """Logins with data, a policy or a fixed end."""

    def login(name, inputs, members, label="Firefox on Linux", before=(), **settings):
        """`inputs` are the arguments, `members` what the session has of them."""
        own = new(len(before), label=label, **members)
        after = table(*before, own, generation=LATER)
        inputs = {"sessions": table(*before), "label": label, **inputs, **settings}
        return case(f"a login with {name}", "log_in", "started", after, own, **inputs)

    def failed(name, verdict, inputs, **settings):
        before = table(session(0))
        inputs = {"sessions": before, "label": "", **inputs, **settings}
        return case(f"a login with {name}", "log_in", verdict, before, **inputs)

    def same(name, members, **settings):
        arguments = {
            ("session_policy" if key == "policy" else key): members[key] for key in members
        }
        return login(name, arguments, members, **settings)

    named = {"policy": {"named": {"app": {"idle": DAY, "absolute": 2 * DAY}}}}
    some = '{"tenant":"acme"}'
    yield same("data", {"data": some})
    yield same(
        "data beside others", {"data": some}, before=[session(0, data='{"a":[]}', strict=True)]
    )
    yield same("data that is kept byte for byte", {"data": '{"b":1,"a":1.0,"a":"\\u0061\\/"}'})
    yield same("data beyond ASCII", {"data": '{"имя":"Алиса 🔑"}'})
    yield same("data of no members", {"data": "{}"})
    yield same("data of 128 bytes", {"data": data_of(128)})
    yield same("data of 512 bytes", {"data": data_of(512)}, policy={"max_data_bytes": 512})
    yield same("data of 2 bytes where 2 are allowed", {"data": "{}"}, policy={"max_data_bytes": 2})
    yield failed("data of 129 bytes", "data_too_long", {"data": data_of(129)})
    wide = data_of(127).replace("x", "é", 2)
    assert len(wide.encode()) == 129 and len(wide) == 127
    yield failed("data of 127 characters and 129 bytes", "data_too_long", {"data": wide})
    none = {"policy": {"max_data_bytes": 0}}
    yield failed("data where none is allowed", "data_too_long", {"data": "{}"}, **none)
    longest = {"policy": {"max_data_bytes": 512}}
    yield failed(
        "data of 513 bytes where 512 are allowed",
        "data_too_long",
        {"data": data_of(513)},
        **longest,
    )

    # The refresh token ends with the session.
    yield same("a named policy", {"policy": "app"}, **named)
    longest = {"policy": {"named": {"A" * 16: {}, "a.b-c_9": {"absolute": 60}}}}
    yield same("a policy of 16 characters", {"policy": "A" * 16}, **longest)
    yield same("a policy whose name has every kind of character", {"policy": "a.b-c_9"}, **longest)
    yield same(
        "a named policy that is laxer",
        {"policy": "app"},
        policy={"idle": 60, "named": {"app": {"idle": DAY}}},
    )
    yield same("a fixed end", {"ends_at": NOW + DAY})
    yield same("a fixed end in a second", {"ends_at": NOW + 1})
    yield same("a fixed end after the idle end", {"ends_at": NOW + 20 * DAY})
    yield same("the last fixed end", {"ends_at": 253402300799})
    yield same(
        "a fixed end before that of its policy", {"ends_at": NOW + 60, "policy": "app"}, **named
    )
    yield same(
        "a fixed end after that of its policy", {"ends_at": NOW + 3 * DAY, "policy": "app"}, **named
    )
    yield same("everything", {"ends_at": NOW + 60, "data": some, "policy": "app"}, **named)
    yield failed("a fixed end now", "ends_at_passed", {"ends_at": NOW})
    yield failed("a fixed end a second ago", "ends_at_passed", {"ends_at": NOW - 1})
    yield failed("a fixed end at 0", "ends_at_passed", {"ends_at": 0})
