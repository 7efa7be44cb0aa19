#!/usr/bin/env python3
"""Checks that the test vectors notice a wrong implementation.

Each mutant is the implementation of `format1` with one edit: an input of a derivation is missing or
exchanged, or a rule is not there. A mutant that passes all vectors survives, and the vectors lack a
case.
"""

import importlib
import json
import pathlib
import sys
import tempfile

# The copies of the package come and go too fast for compiled files.
sys.dont_write_bytecode = True

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = {path.name: path.read_text() for path in (HERE / "format1").glob("*.py")}
VECTORS = HERE.parents[1] / "vectors"

# Each module's edits: a text that occurs once, and what stands there instead.
MUTANTS = {
    "derivation.py": [
        ('frame("relatch/1 credential", *secrets)', "frame(*secrets)"),
        ('frame("relatch/1 credential", *secrets)', 'frame("relatch/1 credential", *secrets[:1])'),
        (
            'frame("relatch/1 credential", *secrets)',
            'frame("relatch/1 credential", "".join(secrets))',
        ),
        ("if len(pair) != 64:", "if not pair:"),
        ("if len(pair) != 64:", "if len(pair) < 64:"),
        ("if hmac.compare_digest(stands_for, present):", "if True:"),
        ("if hmac.compare_digest(stands_for, present):", "if False:"),
        ("effective(old_secrets, carried)", "credential(old_secrets)"),
        ("return fixed + own", "return own + fixed"),
        ("return fixed + own", "return fixed"),
        ("return fixed + own", "return own"),
        ('epoch["kind"] if instance is None else', 'epoch["kind"] if True else'),
        ("for piece in (name, u64(counter))", "for piece in (u64(counter),)"),
        ("for piece in (name, u64(counter))", "for piece in (name,)"),
        ("for piece in (name, u64(counter))", "for piece in (u64(counter), name)"),
        ('u64(record["lane"]) if purpose["lane"] else b""', 'u64(record["lane"])'),
        ('u64(record["lane"]) if purpose["lane"] else b""', 'b""'),
        ("sorted((kind.encode(), value.encode())", "list((kind.encode(), value.encode())"),
        (
            "for piece in pair))\n    return digest +",
            "for piece in pair[1:]))\n    return digest +",
        ),
        ("return digest + u64", "return u64"),
        ('return digest + u64(record["version"]) +', "return digest +"),
        ('frame(record["id"], outer, lane, bound_context)', "frame(outer, lane, bound_context)"),
        (
            'frame(record["id"], outer, lane, bound_context)',
            'frame(record["id"], lane, bound_context)',
        ),
        (
            'frame(record["id"], outer, lane, bound_context)',
            'frame(record["id"], outer, bound_context)',
        ),
        ('frame(record["id"], outer, lane, bound_context)', 'frame(record["id"], outer, lane)'),
        (
            'frame(record["id"], outer, lane, bound_context)',
            'frame(outer, record["id"], lane, bound_context)',
        ),
        (
            'frame(record["id"], outer, lane, bound_context)',
            'frame(record["id"], lane, outer, bound_context)',
        ),
        (
            'frame(record["id"], outer, lane, bound_context)',
            'frame(record["id"], outer, bound_context, lane)',
        ),
        ('frame("relatch/1 sessions", digest,', "frame(digest,"),
        ('"relatch/1 sessions", digest, u64', '"relatch/1 sessions", u64'),
        ('digest, u64(record["version"]), outer)', "digest, outer)"),
        ('digest, u64(record["version"]), outer)', 'digest, u64(record["version"]))'),
        ('digest, u64(record["version"]), outer)', 'digest, u64(record["version"])) + outer'),
        ('digest, u64(record["version"]), outer)', 'u64(record["version"]), digest, outer)'),
        ("hashlib.sha256(bound).digest()[:8]", "hashlib.sha256(bound).digest()[-8:]"),
        (
            'frame("relatch/1 " + label, self.typ, self.issuer)',
            "frame(label, self.typ, self.issuer)",
        ),
        (
            'frame("relatch/1 " + label, self.typ, self.issuer)',
            'frame("relatch/1 " + label, self.issuer)',
        ),
        (
            'frame("relatch/1 " + label, self.typ, self.issuer)',
            'frame("relatch/1 " + label, self.typ)',
        ),
        ("label, self.typ, self.issuer)", "label, self.issuer, self.typ)"),
        ('mac(self.subkey("key"), bound)', "mac(self.master, bound)"),
        ('mac(self.subkey("key"), bound)', 'self.subkey("key")'),
        ('mac(self.subkey("key"), bound)', 'mac(self.subkey("stamp"), bound)'),
        ('mac(self.subkey("key"), bound)', 'mac(self.subkey("key"), frame(bound))'),
        ('return self.subkey("server")', 'return self.subkey("key")'),
        ('return self.subkey("server")', "return self.master"),
        ("u64(exp) + nonce + subject.encode()", "nonce + subject.encode()"),
        ("u64(exp) + nonce + subject.encode()", "u64(exp) + subject.encode()"),
        ("u64(exp) + nonce + subject.encode()", "u64(exp) + nonce"),
        ("u64(exp) + nonce + subject.encode()", "nonce + u64(exp) + subject.encode()"),
        ("u64(exp) + nonce + subject.encode())[:8]", "u64(exp) + nonce + subject.encode())[-8:]"),
        ('mac(self.subkey("guard")', 'mac(self.subkey("nonce")'),
        ("u16(slot) + u64(generation) + u64(seq)", "u64(generation) + u64(seq)"),
        ("u16(slot) + u64(generation) + u64(seq)", "u16(slot) + u64(seq)"),
        ("u16(slot) + u64(generation) + u64(seq)", "u16(slot) + u64(generation)"),
        ("u16(slot) + u64(generation) + u64(seq)", "u16(slot) + u64(seq) + u64(generation)"),
        ("u16(slot) + u64(generation) + u64(seq)", "u64(slot) + u64(generation) + u64(seq)"),
        ("place + subject.encode())[:8]", "place)[:8]"),
        ("place + subject.encode())[:8]", "subject.encode() + place)[:8]"),
        ('mac(self.subkey("nonce")', 'mac(self.subkey("guard")'),
        ('f"{header}.".encode() + unstamped', "unstamped"),
        ('f"{header}.".encode() + unstamped', "header.encode() + unstamped"),
        ('f"{header}.".encode() + unstamped', 'f"{header}.".encode()'),
        ("frame(bound) + covered)", "bound + covered)"),
        ("frame(bound) + covered)", "covered)"),
        ("frame(bound) + covered)", "frame(bound))"),
        ("frame(bound) + covered)[:16]", "frame(bound) + covered)[16:]"),
        ('mac(self.subkey("stamp")', 'mac(self.subkey("key")'),
        ('mac(self.subkey("device")', 'mac(self.subkey("guard")'),
        ('mac(self.subkey("device"), said)[:16]', 'mac(self.subkey("device"), said)[16:]'),
    ],
    "devices.py": [
        ("LIFETIME = 365", "LIFETIME = 366"),
        (
            '(key["master"], authority["issuer"], "")',
            '(key["master"], authority["issuer"], "at+jwt")',
        ),
        ('(key["master"], authority["issuer"], "")', '(key["master"], "", "")'),
        ('said = device + u64(case["now"]', 'said = u64(case["now"]'),
        ('+ u64(case["now"] + LIFETIME)', ""),
        ('+ u64(record["lane"]) + record["id"].encode()', '+ record["id"].encode()'),
        (
            '+ u64(record["lane"]) + record["id"].encode()',
            '+ record["id"].encode() + u64(record["lane"])',
        ),
        ('+ u64(record["lane"]) + record["id"].encode()', '+ u64(record["lane"])'),
        ("encode(code(authority, key, said) + said)", "encode(said + code(authority, key, said))"),
        ('if key["until"] is None or now < key["until"]]', "]"),
        ('now < key["until"]]', 'now <= key["until"]]'),
        ("usable = [key for key", 'usable = [authority["keys"][0] for key'),
        ("if not any(hmac.compare_digest(given, code(authority, key, said))", "if not any(True"),
        (
            "compare_digest(given, code(authority, key, said))",
            "compare_digest(given[:8], code(authority, key, said)[:8])",
        ),
        ('if now >= int.from_bytes(end, "big"):', "if False:"),
        ('if now >= int.from_bytes(end, "big"):', 'if now > int.from_bytes(end, "big"):'),
        ('return user_id == record["id"].encode() and', "return"),
        ('and lane == u64(record["lane"])', ""),
        ('lane == u64(record["lane"])', 'lane >= u64(record["lane"])'),
        ('lane == u64(record["lane"])', 'lane <= u64(record["lane"])'),
    ],
    "issuing.py": [
        ('authority["mode"] == "key" or not purpose["portable"]', 'authority["mode"] == "key"'),
        ('authority["mode"] == "key" or not purpose["portable"]', 'not purpose["portable"]'),
        ("return {**claims, **(own or {})}", "return {**(own or {}), **claims}"),
    ],
    "claims.py": [
        ("MAX_SLOT = 2**16 - 1", "MAX_SLOT = 2**32 - 1"),
        ("MAX_SLOT = 2**16 - 1", "MAX_SLOT = 2**16 - 2"),
        ('{"nbf", *RESERVED}', "{*RESERVED}"),
        *(
            (f'"{name}"', '"x"')
            for name in ("client_id", "scope", "auth_time", "acr", "amr", "act")
        ),
        *((f'"{name}"', '"x"') for name in ("cnf", "may_act", "authorization_details", "azp")),
        *((f'"{name}"', '"x"') for name in ("nonce", "sub_id", "events")),
        ("or claims.repeats", "or False"),
        ("or not all(map(is_text, claims))", ""),
        ("all(is_text(name) and is_counter", "all(name and is_counter"),
        ("(isinstance(value, list) and all(map(is_text, value)))", "isinstance(value, list)"),
        ("and all(map(is_text, value))", "and len(value) > 1 and all(map(is_text, value))"),
        ("and len(value) <= MAX_EPOCHS", "and 0 < len(value) <= MAX_EPOCHS"),
    ],
    "verifying.py": [
        ("if not in_key_mode and not re.fullmatch(STAMP_MEMBER, end):", "if False:"),
        ("re.fullmatch(STAMP_MEMBER, end)", "re.search(STAMP_MEMBER, payload)"),
        ("re.fullmatch(STAMP_MEMBER, end)", "re.fullmatch(rb'.*\"\\\\s*}\\\\s*', end, re.S)"),
        ("derivation.stamp(bound, parts[0], unstamped)", 'derivation.stamp(bound, parts[0], b"")'),
        ('hmac.compare_digest(genuine, decode(claims["stamp"]))', "True"),
        ('if not is_bound or not is_context(inputs["context"]):', "if not is_bound:"),
        ('if not is_bound or not is_context(inputs["context"]):', "if not is_context({}):"),
        ("1 <= len(text.encode()) <= MAX_CONTEXT_BYTES", "len(text.encode()) <= MAX_CONTEXT_BYTES"),
        ("1 <= len(text.encode()) <= MAX_CONTEXT_BYTES", "1 <= len(text.encode())"),
        ("for pair in context.items() for text in pair", "for text in context.values()"),
        ("for pair in context.items() for text in pair", "for text in context"),
        ("x00-", "x01-"),
        ("-\\x1f", "-\\x1e"),
        ("-\\x1f", "-\\x1f\\x7f"),
        ("return raw.decode()", 'return raw.decode("latin-1")'),
        ("return raw.decode()", 'return raw.decode(errors="surrogatepass")'),
        ('if kid not in [key["kid"] for key in authority["keys"]]:', "if False:"),
        ('read_pair(record["carried"])', "pass"),
        ("if not all(map(is_counter, counters)):", "if False:"),
        (
            'if "sid" in claims:\n        sessions',
            'if "sid" in claims and record.get("sessions"):\n        sessions',
        ),
        ('("stamp" in claims) != in_key_mode', "True"),
        ('("stamp" in claims) != in_key_mode', '(in_key_mode or "stamp" in claims)'),
        ("if now >= exp +", "if now > exp +"),
        ("hs256(derivation.user_key(bound), signing_input)", "signature"),
        ('raise Rejected("guard", "forged")', "pass"),
        ('if purpose["lane"] and claims["lane"] != record["lane"]:', "if False:"),
        ('if claims["ver"] != record["version"]:', "if False:"),
    ],
    "policies.py": [
        ('if "policy" not in session:', "if True:"),
        (
            "{**default, **settings}",
            "settings | {name: 1 for name in OF_SESSION if name not in settings}",
        ),
        ("strictest([default, *named.values()])", "default"),
        ("strictest([default, *named.values()])", "strictest([default])"),
        ("strictest([default, *named.values()])", "strictest([*named.values()] or [default])"),
        ('return {**least, "late_repeat": None}', "return {**policies[0], **least}"),
        ('session["last_seen"] + settings["idle"], ', ""),
        (', session["started_at"] + settings["absolute"]]', "]"),
        ('if "ends_at" in session:', "if False:"),
        ("now >= end_of", "now > end_of"),
    ],
    "sessions.py": [
        ('session["tag"] == tag and', ""),
        ("not is_expired(session, policy, now)", "True"),
        ('session["slot"] < policy["max_sessions"] and', ""),
        ("kept.remove(replaced(kept, policy, tag))", "kept.remove(kept[0])"),
        ('[session for session in full if session["tag"] != tag]', "[]"),
        ('min(dead, key=lambda each: each["generation"])', "dead[0]"),
        (
            'min(dead, key=lambda each: each["generation"])',
            'min(dead, key=lambda each: each["last_seen"])',
        ),
        (
            "next_counter(max(table.generation, version), now)\n    session",
            "next_counter(table.generation, now)\n    session",
        ),
        ('        "tag": tag,\n', '        "tag": "A" * 11,\n'),
        ('given.get("ends_at", now + 1) <= now', "False"),
        ('given.get("ends_at", now + 1) <= now', 'given.get("ends_at", now + 1) < now'),
        ('check_data(policy, given.get("data"))', "pass"),
        ("len(data.encode()) >", "len(data) >"),
        ("check_data(policy, data)\n    session", "session"),
        ('"last_seen": now, "tag": tag}\n        if', '"last_seen": now}\n        if'),
        ('{**unmarked(session), "seq"', '{**session, "seq"'),
        ('if "repeated" in session:', "if False:"),
        ('if "repeated" in session:', 'if "repeated" in session or "strict" in session:'),
        ('settings["grace"] > 0 and', ""),
        ('distance <= settings["grace"]', 'distance < settings["grace"]'),
        ('if not is_strict and bound', "if bound"),
        ("marked if is_strict else session", "session"),
        ("marked if is_strict else session", "marked"),
        ("bound is not None and distance <= bound", "bound is not None"),
        ("bound is not None and distance <= bound", "bound is not None and distance < bound"),
        ("abs(now - session", "(now - session"),
        ("if seq == current - 1:", "if True:"),
        ('marked = {**session, "repeated": True}', "marked = session"),
        (
            'marked = {**session, "repeated": True}',
            'marked = {**session, "repeated": True, "tag": tag}',
        ),
        (
            'marked = {**session, "repeated": True}',
            'marked = {**session, "repeated": True, "last_seen": now}',
        ),
        (
            'fresh = {"generation": generation, "seq": 0, "tag": tag, ',
            'fresh = {"generation": generation, "seq": 0, ',
        ),
        ('fresh = {"generation": generation, "seq": 0, ', 'fresh = {"generation": generation, '),
        ("return {**unmarked(session), **fresh}", "return {**session, **fresh}"),
        ('"started_at": now}\n    return', "}\n    return"),
        ("[*table.others(session), own]", "[own]"),
        (
            "return table.with_session(without if data is None else",
            "return table.with_session(session if data is None else",
        ),
    ],
    "table.py": [
        ('if "format" in raw.repeats:', "if False:"),
        ('if "format" in raw.repeats:', "if raw.repeats:"),
        ("MAX_DATA_BYTES = 512", "MAX_DATA_BYTES = 511"),
        ("MAX_DATA_BYTES = 512", "MAX_DATA_BYTES = 513"),
        ("len(data.encode()) > MAX_DATA_BYTES or", ""),
        (' or re.search(r"[ \\t\\n\\r]", outside_strings)', ""),
        ('re.search(r"[ \\t\\n\\r]", outside_strings)', 're.search(r"[ \\t\\n\\r]", data)'),
        (
            'value if name == "data" else compact_json(value)',
            'compact_json(json.loads(value) if name == "data" else value)',
        ),
        ("and list(value) == [name for name in MEMBERS if name in value]", ""),
        ("return value is True", "return value in (True, False)"),
        ('len(decode(value) or b"") == 8', "len(value) == 11"),
        ('len(decode(value) or b"") == 8', 'len(decode(value) or b"") >= 8'),
        ("{1,16}", "{1,17}"),
        ("{1,16}", "{0,16}"),
        ("[A-Za-z0-9_.-]", "[A-Za-z0-9_.~-]"),
        ('"ends_at": is_numeric_date', '"ends_at": is_counter'),
        ('"data": is_object', '"data": lambda value: True'),
        ("return is_counter(value) and value < SLOTS", "return is_counter(value)"),
        ("slots != sorted(set(slots)) or", ""),
        (" or len(generations) != len(sessions)", ""),
        ("max(generations, default=0) > table.generation or", ""),
    ],
}


def mutated():
    for name, edits in MUTANTS.items():
        for old, new in edits:
            assert SOURCES[name].count(old) == 1, f"{name} has {old} once"
            source = SOURCES[name].replace(old, new)
            compile(source, name, "exec")
            yield f"{name}: {old!r} becomes {new!r}", {name: source}


def first_failure(changed):
    """The first vector that this implementation fails, `None` if it passes all."""
    with tempfile.TemporaryDirectory() as directory:
        package = pathlib.Path(directory) / "format1"
        package.mkdir()
        for name, source in {**SOURCES, **changed}.items():
            (package / name).write_text(source)
        for name in [name for name in sys.modules if name.partition(".")[0] == "format1"]:
            del sys.modules[name]
        sys.path.insert(0, directory)
        importlib.invalidate_caches()
        try:
            verdicts = importlib.import_module("format1.verdicts")
        finally:
            sys.path.remove(directory)
        for file in verdicts.JUDGES:
            try:
                for name, passed in verdicts.judged(file, CONTENT[file]):
                    if not passed:
                        return name
            except Exception as error:  # A mutant may break in any way.
                return f"{file}: {error!r}"
    return None


def main():
    assert first_failure({}) is None, "the implementation itself passes"
    survivors = [name for name, changed in [*mutated()] if first_failure(changed) is None]
    for name in survivors:
        print(f"SURVIVED {name}")
    count = sum(map(len, MUTANTS.values()))
    print(f"{count - len(survivors)} mutants fail a vector, {len(survivors)} pass them all")
    return 1 if survivors else 0


CONTENT = {path.name: json.loads(path.read_bytes()) for path in VECTORS.glob("*.json")}

if __name__ == "__main__":
    sys.exit(main())
