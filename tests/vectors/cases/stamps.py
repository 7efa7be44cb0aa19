"""Tokens in stamp mode: what the stamp covers, where it stands, and which tokens have one."""

import json

from format1.claims import shown
from format1.issuing import (
    bound_body,
    claims_for,
    issuing_derivation,
    pinned_header,
    sign,
    stamp_of,
)
from format1.text import compact_json, decode, encode, hs256

from .common import (
    ENTROPY,
    EXPIRES,
    GENERATION,
    INVITE,
    ISSUED,
    PARTNER,
    RESET,
    STAMP,
    accepted,
    complete,
    made,
    payload_of,
    rejected,
    resigned,
    sealed,
    session,
    table,
    tenant,
)
from .forms import stray

STAMPED = {"authority": STAMP}
WRONG = ("binding", "revoked_by_stamp")
MALFORMED = ("claims", "malformed")


def unstamped(**overrides):
    """The payload of a genuine token, without the stamp."""
    return compact_json(claims_for(complete(overrides), ISSUED, EXPIRES, ENTROPY))


def changed_claims():
    """A thief of the server's signing key changes a genuine token."""

    def changed(name, old, new, sid=None, own=None, **overrides):
        issued = {**STAMPED, **overrides}
        token = resigned(old, new, sid=sid, own=own, **issued)
        return rejected(f"signed by the server's key: {name}", token, *WRONG, **issued)

    two = {"sessions": table(session(0), session(1, 5))}
    grouped = {**STAMP, "user_epochs": ["tenant"]}
    in_acme = {"authority": grouped, "record": {"epochs": [tenant("acme", 7)]}}
    aud, role = '"aud":"https://api.example.com"', {"role": "user"}
    jti = encode(ENTROPY)
    yield changed("role", '"role":"user"', '"role":"admin"', own=role)
    yield changed("role added", '"ver":3', '"ver":3,"role":"admin"')
    yield changed("role removed", '"role":"user",', "", own={**role, "x": 1})
    yield changed("sid of another session", f"0.{GENERATION}", "1.5", f"0.{GENERATION}", record=two)
    yield changed("sid added", '"ver":3', '"ver":3,"sid":"1.5"', record=two)
    yield changed("sid removed", f',"sid":"0.{GENERATION}"', "", f"0.{GENERATION}", record=two)
    yield changed("exp a second later", f'"exp":{EXPIRES}', f'"exp":{EXPIRES + 1}')
    yield changed("exp years later", f'"exp":{EXPIRES}', f'"exp":{EXPIRES + 10**9}')
    yield changed("iat", f'"iat":{ISSUED}', f'"iat":{ISSUED + 1}')
    yield changed("jti", jti, encode(bytes(16)))
    yield changed("an audience more", aud, '"aud":["https://api.example.com","https://x"]')
    yield changed("epochs", '"tenant:acme":7', '"tenant:acme":8', **in_acme)
    yield changed("epochs added", '"ver":3', '"ver":3,"epochs":{"realm":1}')
    yield changed("white space", '"ver":3', '"ver": 3')
    yield changed("white space before the stamp", '"ver":3', '"ver":3 ')
    yield changed("an escape", '"sub":"alice"', '"sub":"\\u0061lice"')
    yield changed("the order of the claims", f'"exp":{EXPIRES},"iat":{ISSUED}', exchanged())
    for name, old, new, record in (
        ("sub", '"sub":"alice"', '"sub":"bob"', {"id": "bob"}),
        ("ver", '"ver":3', '"ver":4', {"version": 4}),
    ):
        token = resigned(old, new, **STAMPED)
        name = f"signed by the server's key: {name} of another record"
        yield rejected(name, token, *WRONG, record=record, **STAMPED)
    lane = {**STAMPED, "purpose": PARTNER, "record": {"lane": 9}}
    seen = {**lane, "record": {"lane": 10}}
    token = resigned('"lane":9', '"lane":10', **lane)
    yield rejected("signed by the server's key: lane of the record", token, *WRONG, **seen)


def exchanged():
    return f'"iat":{ISSUED},"exp":{EXPIRES}'


def wrong_stamps():
    """The payload is genuine but for its stamp, and is signed with the server's key."""

    def under(name, stamp, **overrides):
        payload = f'{unstamped(**STAMPED)[:-1]},"stamp":"{encode(stamp)}"}}'
        token = sign(complete(STAMPED), payload.encode())
        return rejected(f"stamp {name}", token, *WRONG, **STAMPED)

    inputs = complete(STAMPED)
    derivation, bound = issuing_derivation(inputs), bound_body(inputs)
    covered = unstamped(**STAMPED)[:-1].encode()
    header = pinned_header("2026-11", "at+jwt")
    right = derivation.stamp(bound, header, covered)
    yield under("of zeros", bytes(16))
    yield under("with its first bit flipped", bytes([right[0] ^ 0x80]) + right[1:])
    yield under("with its last bit flipped", right[:-1] + bytes([right[-1] ^ 1]))
    yield under(
        "for another kid", derivation.stamp(bound, pinned_header("2026-10", "at+jwt"), covered)
    )
    yield under(
        "for another typ's header",
        derivation.stamp(bound, pinned_header("2026-11", "x+jwt"), covered),
    )
    yield under("with the comma covered", derivation.stamp(bound, header, covered + b","))
    yield under("with the brace covered", derivation.stamp(bound, header, covered + b"}"))
    other = decode(json.loads(payload_of(made(exp=EXPIRES + 1, **STAMPED)))["stamp"])
    yield under("of another token of the user", other)


def forms():
    """Each of these stamps covers what stands before it, and the server's key signed the whole."""
    plain = unstamped(**STAMPED)[:-1]

    def ending(name, end, before=plain, header=None):
        """`end` follows the comma; `STAMP` in it is the stamp."""
        inputs = complete(STAMPED)
        stamp = stamp_of(inputs, before.encode())
        payload = f"{before}{end.replace('STAMP', stamp)}".encode()
        return rejected(f"stamp mode: {name}", sign(inputs, payload), *MALFORMED, **STAMPED)

    value = stamp_of(complete(STAMPED), plain.encode())
    yield ending("a member after the stamp", ',"stamp":"STAMP","role":"admin"}')
    yield ending("white space before the stamp's name", ', "stamp":"STAMP"}')
    yield ending("white space before the stamp's colon", ',"stamp" :"STAMP"}')
    yield ending("white space behind the stamp's colon", ',"stamp": "STAMP"}')
    yield ending("white space behind the stamp", ',"stamp":"STAMP" }')
    yield ending("a line feed behind the stamp", ',"stamp":"STAMP"\n}')
    yield ending("white space behind the payload", ',"stamp":"STAMP"} ')
    yield ending("a line feed behind the payload", ',"stamp":"STAMP"}\n')
    yield ending("NUL behind the payload", ',"stamp":"STAMP"}\0')
    yield ending("another object behind the payload", ',"stamp":"STAMP"}{}')
    yield ending("another stamp behind the payload", ',"stamp":"STAMP"},"stamp":"STAMP"}')
    yield ending("an escape in the stamp's name", ',"st\\u0061mp":"STAMP"}')
    escaped = f"\\u{ord(value[0]):04x}{value[1:]}"
    yield ending("an escape in the stamp", f',"stamp":"{escaped}"}}')
    yield ending("the stamp's name in another case", ',"Stamp":"STAMP"}')
    yield ending("the stamp of an inner object", ',"x":{"a":1,"stamp":"STAMP"}}')
    yield ending(
        "the stamp of an inner object, cut short", ',"stamp":"STAMP"}', plain + ',"x":{"a":1'
    )
    yield ending("the stamp in a string", ',"x":"\\",\\"stamp\\":\\"STAMP"}')
    other = f'"stamp":"{encode(bytes(16))}"'
    for name, twin in {
        "a second stamp": other,
        "the stamp twice": f'"stamp":"{value}"',
        "a second stamp with an escaped name": other.replace("a", "\\u0061", 1),
        "a second stamp that is null": '"stamp":null',
    }.items():
        yield ending(f"{name} before it", ',"stamp":"STAMP"}', f"{plain},{twin}")
        yield ending(f"{name} as the first member", ',"stamp":"STAMP"}', f"{{{twin},{plain[1:]}")
    yield ending("a second stamp behind it", f',"stamp":"STAMP",{other}}}')
    yield ending(
        "a second stamp with an escaped name behind it", ',"stamp":"STAMP","st\\u0061mp":"STAMP"}'
    )
    yield ending("the stamp as the first member", "}", f'{{"stamp":"{value}",{plain[1:]}')
    yield ending("no stamp", "}")
    for name, text in {
        "null": "null",
        "a number": "1",
        "an array": f'["{value}"]',
        "empty": '""',
        "of 15 bytes": f'"{encode(bytes(15))}"',
        "of 17 bytes": f'"{encode(bytes(17))}"',
        "of 21 characters": f'"{value[:21]}"',
        "of 23 characters": f'"{value}A"',
        "with unused bits": f'"{stray(value)}"',
        "with padding": f'"{value}=="',
        "with padding for its last characters": f'"{value[:20]}=="',
        "in the standard alphabet": f'"+{value[1:]}"',
        "beyond ASCII": f'"{value[:20]}é"',
    }.items():
        yield ending(f"a stamp {name}", f',"stamp":{text}}}')
    yield ending("a payload of a stamp alone", ',"stamp":"STAMP"}', "")
    yield ending("a payload of 34 bytes", f'{{"stamp":"{value}"}}', "")
    yield ending("a payload of 33 bytes", f'"stamp":"{value}"}}', "")
    yield ending("an empty payload", "", "")
    yield ending("an object of no members", "{}", "")
    yield ending("a byte order mark", ',"stamp":"STAMP"}', "\ufeff" + plain)
    for name, members in {
        "a claim twice": '"role":"user","role":"admin"',
        "a claim twice, once escaped": '"role":"user","r\\u006fle":"admin"',
        "sub twice": '"sub":"alice"',
        "sub twice, once escaped": '"s\\u0075b":"alice"',
    }.items():
        yield ending(name, ',"stamp":"STAMP"}', f"{plain},{members}")

    def good(name, payload):
        """Stamped as it stands."""
        token = sealed(payload, **STAMPED)
        claims = shown(json.loads(payload))
        expect = {"verdict": "accepted", "claims": claims, "lookup": True}
        return {"name": f"stamp mode: {name}", **STAMPED, "token": token, "expect": expect}

    claims = claims_for(complete(STAMPED), ISSUED, EXPIRES, ENTROPY)
    shuffled = " " + compact_json(dict(reversed(claims.items()))).replace(",", " ,\n\t")
    yield good("claims in another order, with white space", shuffled)
    yield good("white space before the comma of the stamp", f"{plain} \n}}")
    yield good("a claim with an inner stamp", f'{plain},"x":{{"stamp":"{value}"}}}}')
    yield good(
        "a claim whose text looks like a stamp", f'{plain},"x":",\\"stamp\\":\\"{value}\\"}}"}}'
    )
    yield good("a stamp's name in another case", f'{plain},"Stamp":"{value}"}}')


def modes():
    """The mode of a token is that of the server if the purpose is portable, else key mode."""
    key, stamp = {"authority": {"mode": "key"}}, STAMPED
    sid, sessions = f"0.{GENERATION}", {"record": {"sessions": table(session(0))}}
    yield rejected(
        "a token of key mode at a server in stamp mode", made(**key), *MALFORMED, **stamp
    )
    yield rejected(
        "a token of stamp mode at a server in key mode", made(**stamp), *MALFORMED, **key
    )
    name = "a session's token of key mode at a server in stamp mode"
    yield rejected(name, made(sid=sid, **key), *MALFORMED, **stamp, **sessions)
    name = "a session's token of stamp mode at a server in key mode"
    yield rejected(name, made(sid=sid, **stamp), *MALFORMED, **key, **sessions)

    partner, reset = {"purpose": PARTNER}, {"purpose": RESET}
    for mode in (key, stamp):
        name = f"{mode['authority']['mode']}: a portable purpose of the application"
        yield accepted(name, **mode, **partner, record={"lane": 9})
    for name, purpose, record in (
        ("with a lane", RESET, {"lane": 9}),
        ("without a lane", INVITE, {}),
    ):
        issued = {"purpose": purpose, "record": record}
        name = f"a purpose {name} that is not portable is in key mode at a server in stamp mode"
        yield accepted(name, **issued, seen={**issued, **stamp})
    token = made(**partner, **key)
    name = "a portable token of key mode at a server in stamp mode"
    yield rejected(name, token, *MALFORMED, **partner, **stamp)
    token = made(**partner, **stamp)
    name = "a portable token of stamp mode at a server in key mode"
    yield rejected(name, token, *MALFORMED, **partner, **key)
    # Issued as if the purpose were portable.
    token = made(purpose={**RESET, "portable": True}, **stamp)
    yield rejected(
        "a stamp for a purpose that is not portable", token, *MALFORMED, **reset, **stamp
    )
    genuine, inputs = made(**reset), complete({**reset, **stamp})
    signing_input = genuine.rpartition(".")[0]
    signature = encode(hs256(issuing_derivation(inputs).server_key(), signing_input))
    name = "signed by the server's key: a purpose that is not portable"
    token = f"{signing_input}.{signature}"
    yield rejected(name, token, "binding", "bad_signature", **reset, **stamp)


def long_payloads():
    for mode in ("key", "stamp_hs256"):
        under = {"authority": {"mode": mode, "max_token_bytes": 16384}}
        for length in (1024, 4096, 8192):
            own = {"pad": "x" * length}
            yield accepted(f"{mode}: a claim of {length} bytes", own=own, **under)
        # Around the ends of the hash function's blocks.
        for length in range(0, 64, 9):
            own = {"pad": "y" * length}
            yield accepted(f"{mode}: a claim of {length} bytes more", own=own, **under)
    own, under = (
        {"pad": "x" * 3000, "role": "user"},
        {"authority": {**STAMP, "max_token_bytes": 8192}},
    )
    token = resigned('"role":"user"', '"role":"root"', own=own, **under)
    yield rejected("signed by the server's key: role in a long payload", token, *WRONG, **under)
