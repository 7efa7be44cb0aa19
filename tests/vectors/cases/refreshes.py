"""Cases of sessions.json: refreshes."""

import json

from format1.claims import MAX_COUNTER
from format1.derivation import Derivation, rehash
from format1.issuing import REFRESH, issue, refresh_token, sign
from format1.text import compact_json, encode

from .common import (
    CHANGED,
    DAY,
    DEFAULTS,
    ENTROPY,
    EXPIRES,
    GENERATION,
    HASH,
    ISSUED,
    KEY,
    MASTER,
    OTHER_MASTER,
    REHASHED,
    STAMP,
    complete,
    payload_of,
    realm,
    session,
    table,
    tag_of,
    tenant,
)
from .transitions import NOW, case, rejection

LENIENT = {"authority": {"leeway": 300}}


def refreshed(name, verdict, seen, before, after, answer=None, issued=None, **inputs):
    """A refresh with the token that the session had as it was in `seen`.

    `before` and `after` are the tables; `issued` is what the token was issued under, if this is
    something else than the other inputs.
    """
    issuing = complete({**inputs, **(issued or {})})
    inputs = {**inputs, "sessions": before, "token": refresh_token(issuing, seen)}
    return case(name, "refresh", verdict, after, answer, **inputs)


def rotations():
    def rotated(name, current, others=(), generation=None, now=NOW, **inputs):
        generation = generation or max(GENERATION, current["generation"])
        settings = {name: inputs[name] for name in ("authority", "record") if name in inputs}
        current = {**current, "tag": tag_of(**settings)}
        changed = {**current, "seq": current["seq"] + 1, "last_seen": now}
        before = table(current, *others, generation=generation)
        after = table(changed, *others, generation=generation)
        return refreshed(name, "rotated", current, before, after, changed, now=now, **inputs)

    most = {"policy": {"max_sessions": 64}}
    three = [session(0, 9), session(4, 7, label="Телефон"), session(15, 8)]
    yield rotated("a refresh", session(0))
    yield rotated("a refresh right after the login", session(0), now=ISSUED)
    yield rotated("a further refresh", session(0, seq=5, last_seen=ISSUED + 30))
    yield rotated("a refresh beside others", three[1], [three[0], three[2]])
    unclean = session(0, label=" Firefox  on Linux\u200b")
    yield rotated("a refresh keeps a label that would be cleaned otherwise today", unclean)
    yield rotated("a refresh at generation 1", session(0, 1), generation=1)
    yield rotated("a refresh at the last generation", session(0, MAX_COUNTER))
    yield rotated("a refresh in the last slot", session(15))
    yield rotated("a refresh in the last of 64 slots", session(63), **most)
    yield rotated("the last refresh but one", session(0, seq=MAX_COUNTER - 2))
    yield rotated("the last refresh", session(0, seq=MAX_COUNTER - 1))
    yield rotated("a refresh without a grace", session(0, seq=5), policy={"grace": 0})
    yield rotated("a second before the idle end", session(0), now=ISSUED + 14 * DAY - 1)
    old = session(0, last_seen=ISSUED + 89 * DAY)
    yield rotated("a second before the absolute end", old, now=ISSUED + 90 * DAY - 1)
    yield rotated("a refresh near the absolute end", old, now=ISSUED + 89 * DAY + 60)
    lenient = {"authority": {"leeway": 30}}
    back = session(0, seq=5, last_seen=NOW + 30)
    yield rotated("a refresh after the clock was set back by the leeway", back, **lenient)

    yield rotated("stamp mode: a refresh", session(0, seq=5), authority=STAMP)
    yield rotated("a refresh in a context", session(0), context={"address": "192.0.2.1"})
    counted = {"epochs": [realm(1)], "user_epochs": ["tenant"]}
    grouped = {"authority": counted, "record": {"epochs": [tenant("acme", 7)]}}
    yield rotated("a refresh under epochs", session(0), **grouped)
    carried = {"secrets": [REHASHED], "carried": rehash(None, [HASH], [REHASHED])}
    yield rotated("a refresh after a rehash", session(0), record=carried, issued={"record": {}})
    old_key = {"kid": "2026-10", "master": OTHER_MASTER, "until": None}
    ring = {"keys": [KEY, {**old_key, "until": NOW + 1}]}
    retiring = {"authority": ring, "issued": {"authority": {"keys": [old_key]}}}
    yield rotated("a refresh goes over to the issuing key", session(0), **retiring)
    longer, shorter = {"policy": {"idle": 30 * DAY}}, {"policy": {"idle": DAY}}
    name = "a refresh after the policy became"
    yield rotated(f"{name} stricter", session(0), **shorter, issued=longer)
    yield rotated(f"{name} laxer", session(0), **longer, issued=shorter)

    # The derivation of the nonce makes refresh tokens reproducible. Verification does not check it.
    claims = json.loads(payload_of(refresh_token(complete({}), session(0))))
    derivation = Derivation(MASTER, DEFAULTS["authority"]["issuer"], REFRESH["typ"])
    guard = derivation.guard("alice", claims["exp"], bytes(8))
    claims["jti"] = encode(bytes(8) + guard)
    token = sign(complete({"purpose": REFRESH}), compact_json(claims).encode())
    changed = session(0, seq=1, last_seen=NOW)
    inputs = {"sessions": table(session(0)), "token": token}
    name = "a refresh token with another nonce"
    yield case(name, "refresh", "rotated", table(changed), changed, **inputs)


def at_seq(seq, **others):
    """The session whose last refresh was at `NOW`, and as it was before."""
    current = session(0, seq=seq, **{"last_seen": NOW, **others})
    return current, {**current, "seq": seq - 1, "last_seen": ISSUED}


def repetitions():
    def repeated(name, now=NOW, seq=6, **inputs):
        current, before = at_seq(seq)
        before_and_after = table(current, session(3, 8))
        same = (before_and_after, before_and_after, current)
        return refreshed(name, "repeated", before, *same, now=now, **inputs)

    yield repeated("again in the same second")
    yield repeated("again at the end of the grace", now=NOW + 10)
    yield repeated("again after the clock was set back by the grace", now=NOW - 10)
    yield repeated("again at the end of the longest grace", now=NOW + 60, policy={"grace": 60})
    yield repeated("again with a grace of a second", now=NOW + 1, policy={"grace": 1})
    yield repeated("again after the first refresh", seq=1)
    yield repeated("again after the last refresh", seq=MAX_COUNTER)
    yield repeated("stamp mode: again", now=NOW + 5, authority=STAMP)
    yield repeated("again in a context", now=NOW + 5, context={"address": "192.0.2.1"})
    # The leeway applies to a token's own times only.
    yield repeated("again at the end of the grace, with a leeway", now=NOW + 10, **LENIENT)


def reuses():
    other = session(3, 8)

    def reused(name, seen, current, now=NOW, left=(other,), top=None, before=None, **inputs):
        before = before or table(current, other)
        after = table(*left, generation=top or now * 1000)
        said = rejection("session", "refresh_reused")
        return refreshed(name, said, seen, before, after, now=now, **inputs)

    current, previous = at_seq(6)
    yield reused("reuse a second after the grace", previous, current, now=NOW + 11)
    # The generation is below the clock's, although the clock was set back.
    yield reused(
        "reuse after the clock was set back a second beyond the grace",
        previous,
        current,
        now=NOW - 11,
    )
    yield reused(
        "reuse after the longest grace", previous, current, now=NOW + 61, policy={"grace": 60}
    )
    yield reused(
        "reuse after a grace of a second", previous, current, now=NOW + 2, policy={"grace": 1}
    )
    yield reused(
        "reuse in the same second, without a grace", previous, current, policy={"grace": 0}
    )
    yield reused(
        "reuse after the grace, within the leeway", previous, current, now=NOW + 11, **LENIENT
    )
    older = {**previous, "seq": 4, "last_seen": ISSUED - 60}
    yield reused("reuse of the last token but one, within the grace", older, current)
    first = {**previous, "seq": 0, "last_seen": ISSUED - 600}
    yield reused("reuse of the first token", first, current)
    last, before_last = at_seq(MAX_COUNTER)
    yield reused("reuse after the last refresh", before_last, last, now=NOW + 11)
    yield reused("stamp mode: reuse", older, current, authority=STAMP)
    everything = {"policy": {"on_reuse": "all"}}
    yield reused("reuse that ends all sessions", older, current, left=(), **everything)
    top = NOW * 1000
    ahead = table(current, other, generation=top + 7)
    name = "reuse at a generation ahead of the clock"
    yield reused(name, older, current, before=ahead, top=top + 8)
    ahead = table(current, other, generation=MAX_COUNTER)
    yield reused("reuse at the last generation", older, current, before=ahead, top=MAX_COUNTER)
    ahead = table(current, generation=GENERATION)
    yield reused("reuse in the only session", older, current, before=ahead, left=())


def dead():
    def unchanged(name, reason, seen, before, now=NOW, **inputs):
        said = rejection("session", reason)
        return refreshed(name, said, seen, before, before, now=now, **inputs)

    current, previous = at_seq(6)
    one = table(current)
    for name, seen, now in (
        ("one ahead", {**current, "seq": 7}, NOW),
        ("two ahead", {**current, "seq": 8}, NOW),
        ("far ahead", {**current, "seq": MAX_COUNTER}, NOW),
        ("one ahead, long after", {**current, "seq": 7}, NOW + DAY),
    ):
        yield unchanged(f"a seq {name}", "refresh_ahead", seen, one, now=now)
    # A table from before the first refresh.
    first = session(0)
    yield unchanged("a seq ahead of 0", "refresh_ahead", {**first, "seq": 1}, table(first))
    last = session(0, seq=MAX_COUNTER)
    yield unchanged("no seq is left", "sequence_exhausted", last, table(last))

    ended = "session_ended"
    yield unchanged(
        "refresh of a former session of the slot", ended, session(0, 7), table(session(0, 9))
    )
    yield unchanged("refresh after a log-out", ended, current, table(session(1, 7)))
    yield unchanged("refresh after all sessions ended", ended, current, table())
    newer = {**current, "generation": GENERATION + 1}
    yield unchanged("refresh of a later session of the slot", "session_ahead", newer, one)
    newer = {**newer, "slot": 1}
    yield unchanged("refresh of a later session of a free slot", "session_ahead", newer, one)
    yield unchanged("refresh before the first session", "session_ahead", current, None)
    out = "slot_out_of_range"
    yield unchanged("refresh in a slot out of range", out, session(16), table(session(16)))
    few = {"policy": {"max_sessions": 2}}
    yield unchanged("refresh beyond fewer slots", out, session(2), table(session(2)), **few)
    four = {"policy": {"max_sessions": 64}}
    yield unchanged("refresh in slot 64 of 64", out, session(64), table(session(63)), **four)

    # The token itself is still valid, by its own `exp` or by the leeway.
    for end in ("idle", "absolute"):
        stricter = {"policy": {end: 60}, "issued": {"policy": {}}}
        name = f"refresh at the {end} end of a stricter policy"
        yield unchanged(name, "session_expired", first, table(first), **stricter)
        policy = {"policy": {end: 60}}
        name = f"refresh at the {end} end, in spite of a leeway"
        yield unchanged(name, "session_expired", first, table(first), **policy, **LENIENT)
    shifted = {"policy": {"idle": 30}, "issued": {"policy": {}}}
    current, previous = at_seq(6)
    name = "again at the idle end, within the grace"
    yield unchanged(
        name,
        "session_expired",
        previous,
        one,
        now=NOW + 5,
        policy={"idle": 5},
        issued={"policy": {}},
    )
    name = "reuse past the idle end"
    yield unchanged(name, "session_expired", previous, one, now=NOW + 30, **shifted)


def refused():
    """An invalid refresh token changes nothing."""

    def unchanged(name, stage, reason, token=None, **inputs):
        current = session(0, seq=5)
        before = table(current)
        issued = inputs.pop("issued", {})
        token = token or refresh_token(complete({**inputs, **issued}), current)
        said = rejection(stage, reason)
        return case(name, "refresh", said, before, sessions=before, token=token, **inputs)

    yield unchanged("refresh at exp", "validity", "expired", now=ISSUED + 14 * DAY)
    late = {"now": NOW, "policy": {"absolute": 60}}
    yield unchanged("refresh at exp, which the absolute end sets", "validity", "expired", **late)
    yield unchanged("refresh a second before iat", "validity", "not_yet_valid", now=ISSUED - 1)
    other = {"issued": {"authority": {"audience": "https://api.example.org"}}}
    yield unchanged("refresh token of another audience", "validity", "wrong_audience", **other)
    other = {"issued": {"authority": {"issuer": "https://login.example.org"}}}
    yield unchanged("refresh token of another issuer", "guard", "forged", **other)
    old_key = {"kid": "2026-10", "master": OTHER_MASTER, "until": NOW}
    ring = {"authority": {"keys": [KEY, old_key]}}
    issued = {"issued": {"authority": {"keys": [old_key]}}}
    yield unchanged("refresh token of a retired key", "header", "retired_key", **ring, **issued)
    user = {"record": {"active": False}}
    yield unchanged("refresh of an inactive user", "lookup", "inactive_user", **user)
    for name, version, reason in (
        ("after a log-out everywhere", 4, "revoked_by_version"),
        ("ahead of the version", 2, "ahead_of_record"),
    ):
        inputs = {"record": {"version": version}, "version": version, "issued": {"record": {}}}
        yield unchanged(f"refresh {name}", "binding", reason, **inputs)
    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode}}
        for name, before, after in (
            ("after a password change", {}, {"record": {"secrets": [CHANGED]}}),
            ("in another context", {"context": {"address": "192.0.2.1"}}, {"context": {}}),
        ):
            inputs = {**under, **after, "issued": {"record": {}, **before}}
            yield unchanged(f"{mode}: refresh {name}", "binding", "bad_signature", **inputs)
    access = issue(complete({}), ISSUED, EXPIRES, ENTROPY, None, None, {"sid": f"0.{GENERATION}"})
    yield unchanged("refresh with an access token", "header", "wrong_type", token=access)
    plain = payload_of(refresh_token(complete({}), session(0, seq=5)))
    token = sign(complete({"purpose": REFRESH}), (plain[:-1] + ',"role":"admin"}').encode())
    owned = ("application", "application_claims")
    yield unchanged("refresh token with a claim of the application", *owned, token=token)
    record = {"id": "bob"}
    inputs = {"record": record, "issued": {"record": {}}}
    yield unchanged("refresh of another user than asked for", "lookup", "user_mismatch", **inputs)
