"""Cases of sessions.json: texts of the table, and labels."""

from format1.claims import MAX_COUNTER, MAX_NUMERIC_DATE
from format1.table import MAX_DATA_BYTES, SLOTS
from format1.text import compact_json, encode

from .common import GENERATION, ISSUED, TAG, session, table


def tables():
    """A text, and whether it is a table: `read`, `malformed` or `unknown_format`."""

    def case(name, text, verdict="malformed"):
        return {"name": name, "text": text, "expect": verdict}

    def good(name, *sessions, generation=GENERATION):
        return case(name, table(*sessions, generation=generation), "read")

    def at_most(name, **members):
        return good(name, session(0, **members), generation=MAX_COUNTER)

    yield case("NULL", None, "read")
    yield good("no session left")
    yield good("generation 1, no session left", generation=1)
    yield good("a session", session(0))
    yield good("generation 1", session(0, 1), generation=1)
    yield good("the greatest generation", session(0, MAX_COUNTER), generation=MAX_COUNTER)
    yield good("a generation below the highest", session(0, 1))
    yield good("a slot alone in the middle", session(7))
    yield good("the last slot", session(63))
    three = (session(0, GENERATION), session(5, 9), session(63, 12))
    yield good("generations in another order than the slots", *three)
    yield at_most("the greatest seq", seq=MAX_COUNTER)
    yield at_most("the last times", started_at=MAX_NUMERIC_DATE, last_seen=MAX_NUMERIC_DATE)
    yield at_most("times of 0", started_at=0, last_seen=0)
    yield at_most("last seen before the start", last_seen=ISSUED - 1)
    yield at_most("another tag", tag="__________8")
    yield at_most("a tag of zeros", tag="A" * 11)
    yield at_most("the mark repeated", repeated=True)
    yield at_most("the mark strict", strict=True)
    yield at_most("an end at 0", ends_at=0)
    yield at_most("the last end", ends_at=MAX_NUMERIC_DATE)
    yield at_most("a policy of a character", policy="a")
    yield at_most("a policy of 16 characters", policy="AZaz09-_.AZaz09-")
    yield at_most("a policy of digits", policy="1")
    yield at_most("every member", strict=True, ends_at=5, data='{"a":1}', policy="web")
    for name, data in GOOD_DATA.items():
        yield at_most(f"data: {name}", data=data)
    two_of_them = (session(0, 2, data='{"a":1.0}'), session(5, 1, data='{"b":"]}"}'))
    yield good("data of two sessions", *two_of_them)
    yield at_most("no label", label="")
    yield at_most("a label beyond ASCII", label="Телефон 中 🔑")
    yield at_most("a label that JSON escapes", label='a "quoted" \\ / name')
    yield at_most("a label of 64 bytes", label="é" * 32)
    for name, label in {
        "a space before it": " Firefox",
        "a space behind it": "Firefox ",
        "two spaces": "Firefox  on Linux",
        "a no-break space": "Firefox\u00a0on Linux",
        "a line separator": "Firefox\u2028on Linux",
        "a zero-width space": "Firefox\u200b",
        "the other direction of writing": "\u202eFirefox",
        "nothing but spaces": " " * 64,
    }.items():
        name = f"a label that would be cleaned otherwise today is kept: {name}"
        yield at_most(name, label=label)
    yield case("the longest table", longest(), "read")
    # The lengths that the format's page states.
    for slots, data_bytes, length in (
        (1, 128, 541),
        (16, 128, 7792),
        (64, 128, 31024),
        (1, 512, 925),
        (16, 512, 13936),
        (64, 512, 55600),
    ):
        text = longest(slots, data_bytes)
        assert len(text) == length
        yield case(f"the longest table of {slots} slots with {data_bytes} bytes of data", text, "read")

    one = table(session(0))
    two = table(session(0, 1), session(1, 2))
    yield case("empty", "")
    yield case("no JSON", "sessions")
    yield case("cut short", one[:-1])
    for name, text in {
        "null": "null",
        "number": "1",
        "string": compact_json(one),
        "array": f"[{one}]",
        "array of the members' values": "[1,1800000000000,[]]",
        "array that begins with another format": "[2]",
        "array of the members' values in another format": "[2,1800000000000,[]]",
        "no members": "{}",
        "space before it": " " + one,
        "line feed behind it": one + "\n",
        "NUL behind it": one + "\0",
        "a byte order mark": "\ufeff" + one,
        "another object behind it": one + "{}",
        "space between members": one.replace(",", ", "),
        "space behind a name": one.replace(":", ": "),
        "a byte longer than the longest table": longest() + " ",
    }.items():
        yield case(name, text)

    def edits(prefix, text, pairs):
        for name, (old, new) in pairs.items():
            assert text.count(old) == 1, (old, text)
            yield case(f"{prefix}{name}", text.replace(old, new))

    top = f'"generation":{GENERATION},"sessions"'
    head = f'{{"format":1,{top}'
    yield from edits(
        "",
        one,
        {
            "format missing": ('"format":1,', ""),
            "format as text": ('"format":1', '"format":"1"'),
            "format with a fraction": ('"format":1', '"format":1.0'),
            "format 2 with a fraction": ('"format":1', '"format":2.0'),
            "format null": ('"format":1', '"format":null'),
            "format true": ('"format":1', '"format":true'),
            "format twice": ('"format":1', '"format":1,"format":1'),
            "format behind the generation": (
                head,
                f'{{"generation":{GENERATION},"format":1,"sessions"',
            ),
            "highest generation missing": (top, '"sessions"'),
            "highest generation 0": (top, '"generation":0,"sessions"'),
            "highest generation negative": (top, '"generation":-1,"sessions"'),
            "highest generation as text": (top, f'"generation":"{GENERATION}","sessions"'),
            "highest generation with a fraction": (top, f'"generation":{GENERATION}.0,"sessions"'),
            "highest generation with an exponent": (top, '"generation":18e11,"sessions"'),
            "highest generation with a zero before it": (
                top,
                f'"generation":0{GENERATION},"sessions"',
            ),
            "highest generation out of range": (top, '"generation":9223372036854775808,"sessions"'),
            "highest generation twice": (top, f'"generation":{GENERATION},{top}'),
            "highest generation below a session's": (
                top,
                f'"generation":{GENERATION - 1},"sessions"',
            ),
            "sessions missing": (one[len(head) - len(',"sessions"') : -1], ""),
            "an unknown member": (head, f'{{"format":1,"version":3,{top}'),
            "an unknown member at the end": ("}]}", '}],"x":1}'),
            "an escape in a name": ('"format"', '"f\\u006frmat"'),
            "a comma at the end": ("}]}", "},]}"),
        },
    )
    empty = table()
    yield from edits(
        "sessions ",
        empty,
        {"null": ("[]", "null"), "an object": ("[]", "{}"), "of null": ("[]", "[null]")},
    )
    yield from edits("sessions ", empty, {"of arrays": ("[]", "[[]]"), "of {}": ("[]", "[{}]")})

    plain = session(0)
    for name, value in plain.items():
        member = compact_json({name: value})[1:-1]
        inside = one.partition("[")[2]
        assert inside.count(member) == 1
        before = one[: -len(inside)]
        is_last = name == "label"
        rest = f",{member}" if is_last else f"{member},"
        for fault, text in {
            "missing": inside.replace(rest, ""),
            "null": inside.replace(member, f'"{name}":null'),
            "twice": inside.replace(member, f"{member},{member}"),
            "with an escape in its name": inside.replace(f'"{name}"', with_escape(name)),
        }.items():
            yield case(f"a session's {name} {fault}", before + text)
        if name in ("label", "tag"):
            continue
        for fault, text in {
            "negative": "-1",
            "as text": f'"{value}"',
            "with a fraction": f"{value}.0",
            "minus zero": "-0",
        }.items():
            yield case(
                f"a session's {name} {fault}", before + inside.replace(member, f'"{name}":{text}')
            )
    yield case("a session with an unknown member", one.replace('"seq"', '"x":1,"seq"'))
    yield case("a session with an unknown member at the end", one.replace("}]", ',"x":1}]'))
    yield case(
        "a session's members in another order",
        one.replace('"started_at":1800000000,"last_seen":1800000000', '"last_seen":1800000000,"started_at":1800000000'),
    )

    yield from optional_members(case)

    def bad(name, *sessions, generation=GENERATION):
        return case(name, table(*sessions, generation=generation))

    yield bad("slot 64", session(64))
    yield bad("generation 0", session(0, 0))
    yield bad("a generation above the highest", session(0, GENERATION + 1))
    yield bad("a generation twice", session(0, 5), session(1, 5))
    yield bad("a slot twice", session(0, 1), session(0, 2))
    yield bad("a seq out of range", session(0, seq=MAX_COUNTER + 1))
    yield bad("a generation out of range", session(0, MAX_COUNTER + 1), generation=MAX_COUNTER)
    late = MAX_NUMERIC_DATE + 1
    yield bad("a start beyond the year 9999", session(0, started_at=late))
    yield bad("last seen beyond the year 9999", session(0, last_seen=late))
    first, second = two.index('{"slot":0'), two.index('{"slot":1')
    swapped = two[:first] + two[second:-2] + "," + two[first : second - 1] + "]}"
    yield case("slots in another order", swapped)
    for name, label in {
        "of 65 bytes": "x" * 65,
        "of 33 characters and 66 bytes": "é" * 33,
        "of 64 bytes and a space": "x" * 64 + " ",
        "with NUL": "Firefox\0on Linux",
        "with a line feed": "Firefox\non Linux",
        "with U+001F": "Firefox\u001fon Linux",
        "with U+007F": "Firefox\u007fon Linux",
        "with U+0080": "Firefox\u0080on Linux",
        "with U+0085": "Firefox\u0085on Linux",
        "with U+009F": "Firefox\u009fon Linux",
        "that is a number": 5,
    }.items():
        yield bad(f"a label {name}", session(0, label=label))
    labelled = table(session(0, label="a/é"))
    for name, other in {
        "an escaped letter": "\\u0061/é",
        "an escaped solidus": "a\\/é",
        "an escape for what is not ASCII": "a/\\u00e9",
        "a lone surrogate": "\\ud800",
    }.items():
        yield case(f"a label with {name}", labelled.replace("a/é", other))
    yield case(
        "a quote escaped as a number", table(session(0, label='"')).replace('\\"', "\\u0022")
    )

    for name, text in {
        "format 2": one.replace('"format":1', '"format":2'),
        "format 0": one.replace('"format":1', '"format":0'),
        "format 2 and nothing else": '{"format":2}',
        "format 2 with white space": '{ "format": 2 }\n',
        "format 2 of another form": '{"sessions":{"0":[1,2]},"format":2,"more":null}',
        "format 2, longer than the longest table": compact_json({"format": 2, "more": "x" * 60000}),
    }.items():
        yield case(name, text, "unknown_format")


GOOD_DATA = {
    "no members": "{}",
    "text": '{"tenant":"acme"}',
    "every kind of value": '{"a":[1,-2.5e-3,true,false,null,"",{}]}',
    "a name twice": '{"a":1,"a":2}',
    "an empty name": '{"":1}',
    "names of the table's members": '{"label":"x","slot":9,"format":2,"policy":1}',
    "numbers of other forms": '{"a":1.0,"b":1E+2,"c":-0,"d":0.10}',
    "numbers out of range": '{"a":1e999,"b":123456789012345678901234567890}',
    "escapes that are not needed": '{"\\u0061":"\\/\\u00e9\\u003c"}',
    "an escape that is a lone surrogate": '{"a":"\\ud800"}',
    "white space in strings": '{" a ":" b\\n\\t "}',
    "quotes and backslashes": '{"\\"":"\\\\","a":"\\\\\\" "}',
    "brackets in strings": '{"a":"}],{"}',
    "the end of a table in a string": '{"a":"\\"}]}"}',
    "beyond ASCII": '{"имя":"Алиса 🔑\u2028"}',
    "a no-break space in a string": '{"a":"\u00a0\u3000"}',
    "129 bytes": '{"a":"' + "x" * 121 + '"}',
    "512 bytes": '{"a":"' + "x" * 504 + '"}',
    "512 bytes of 258 characters": '{"a":"' + "é" * 252 + '"}',
    "250 inner arrays": '{"a":' + "[" * 250 + "]" * 250 + "}",
    "80 inner objects": '{"a":' * 80 + "{}" + "}" * 80,
}
BAD_DATA = {
    "null": "null",
    "an array": "[1]",
    "a string": '"{}"',
    "a number": "1",
    "true": "true",
    "an empty text": "",
    "513 bytes": '{"a":"' + "x" * 505 + '"}',
    "513 bytes of 259 characters": '{"a":"' + "é" * 252 + 'x"}',
    "a space inside": '{"a": 1}',
    "a space in an empty object": "{ }",
    "a space before a comma": '{"a":1 ,"b":2}',
    "a space behind a comma": '{"a":1, "b":2}',
    "a space in an inner array": '{"a":[1, 2]}',
    "a space at the end": '{"a":1 }',
    "a space before it": ' {"a":1}',
    "a space behind it": '{"a":1} ',
    "a tab": '{"a":\t1}',
    "a line feed": '{"a":\n1}',
    "a carriage return": '{"a":\r1}',
    "a space behind an escaped quote": '{"a":"\\"" }',
    "a space behind an escaped backslash": '{"a":"\\\\" }',
    "a no-break space": '{"a":\u00a01}',
    "a byte order mark": '\ufeff{"a":1}',
    "cut short": '{"a":1',
    "a brace more": '{"a":1}}',
    "two objects": '{"a":1}{"b":2}',
    "a comma at the end": '{"a":1,}',
    "a name without quotes": "{a:1}",
    "single quotes": "{'a':1}",
    "a name that is a number": "{1:1}",
    "NaN": '{"a":NaN}',
    "Infinity": '{"a":-Infinity}',
    "a number with a zero before it": '{"a":01}',
    "a number with a plus": '{"a":+1}',
    "a number without digits behind the point": '{"a":1.}',
    "an unknown escape": '{"a":"\\x61"}',
    "an escape cut short": '{"a":"\\u00"}',
    "a line feed in a string": '{"a":"\n"}',
    "NUL in a string": '{"a":"\0"}',
    "a comment": '{"a":1/**/}',
    "a string without an end": '{"a":"}',
}


def optional_members(case):
    """Malformed forms of the tag and of the members that a session may have."""
    one = table(session(0))
    start, end = one.index('"started_at"'), one.index('"label"')

    def with_members(name, members, text=one, at=end):
        return case(name, text[:at] + members + text[at:])

    def in_place_of(name, old, new):
        assert one.count(old) == 1
        return case(name, one.replace(old, new))

    tag = f'"tag":"{TAG}"'
    for name, text in {
        "a number": "1",
        "an array": f'["{TAG}"]',
        "empty": '""',
        "of 7 bytes": f'"{encode(bytes(7))}"',
        "of 9 bytes": f'"{encode(bytes(9))}"',
        "of 16 bytes": f'"{encode(bytes(16))}"',
        "of 10 characters": f'"{TAG[:10]}"',
        "of 12 characters": f'"{TAG}A"',
        "with unused bits": '"AAAAAAAAAAB"',
        "with padding": '"AAAAAAAAAAA="',
        "in the standard alphabet": '"//////////8"',
        "with a space": '"AAAAAAAAAA "',
        "with an escape": '"\\u0041AAAAAAAAAA"',
        "in hexadecimal": '"0011223344556677"',
        "beyond ASCII": '"AAAAAAAAAé"',
    }.items():
        yield in_place_of(f"a tag {name}", tag, f'"tag":{text}')
    yield in_place_of("a tag before the seq", f'"seq":0,{tag}', f'{tag},"seq":0')
    moved = one.replace(f"{tag},", "").replace('"last_seen":1800000000', f'"last_seen":1800000000,{tag}')
    yield case("a tag behind the times", moved)

    for mark in ("repeated", "strict"):
        for text in ("false", "null", "1", "0", '"true"', "[true]", "{}", "True"):
            yield with_members(f"the mark {mark} {text}", f'"{mark}":{text},')
        yield with_members(f"the mark {mark} twice", f'"{mark}":true,"{mark}":true,')
        yield with_members(f"the mark {mark} before the times", f'"{mark}":true,', at=start)
        yield with_members(f"the mark {mark} behind the end", f'"ends_at":5,"{mark}":true,')
        yield with_members(f"the mark {mark} with an escape in its name", f'{with_escape(mark)}:true,')
        yield with_members(f"the mark {mark} with a space", f'"{mark}": true,')
        yield with_members(f"the mark {mark} outside the session", "", one.replace("{", f'{{"{mark}":true,', 1))
    yield with_members("both marks", '"repeated":true,"strict":true,')
    yield with_members("both marks in another order", '"strict":true,"repeated":true,')
    yield with_members("both marks, one false", '"repeated":false,"strict":true,')
    yield with_members("an unknown mark", '"reused":true,')

    for text in ("null", "-1", "-0", "5.0", "5e1", "05", '"5"', "true", "[5]", "253402300800"):
        yield with_members(f"an end {text}", f'"ends_at":{text},')
    yield with_members("an end out of all ranges", f'"ends_at":{10**30},')
    yield with_members("an end twice", '"ends_at":5,"ends_at":5,')
    yield with_members("an end before the times", '"ends_at":5,', at=start)
    yield with_members("an end behind the data", '"data":{},"ends_at":5,')
    yield with_members("an end with an escape in its name", f'{with_escape("ends_at")}:5,')

    for name, data in BAD_DATA.items():
        yield with_members(f"data: {name}", f'"data":{data},')
    yield with_members("data twice", '"data":{},"data":{},')
    yield with_members("data before the times", '"data":{},', at=start)
    yield with_members("data behind the policy", '"policy":"web","data":{},')
    yield case("data behind the label", one.replace("}]}", ',"data":{}}]}'))
    yield with_members("data with an escape in its name", f'{with_escape("data")}:{{}},')

    for name, text in {
        "null": "null",
        "a number": "1",
        "an array": '["web"]',
        "empty": '""',
        "of 17 characters": f'"{"p" * 17}"',
        "with a space": '"my web"',
        "with a space at the end": '"web "',
        "with a colon": '"a:b"',
        "with a slash": '"a/b"',
        "with a tilde": '"a~b"',
        "with a plus": '"a+b"',
        "with NUL": '"a\\u0000"',
        "with a line feed": '"web\\n"',
        "with an escape": '"\\u0077eb"',
        "with a digit beyond ASCII": '"١"',
        "with a letter beyond ASCII": '"wéb"',
        "with a quote": '"a\\"b"',
    }.items():
        yield with_members(f"a policy {name}", f'"policy":{text},')
    yield with_members("a policy twice", '"policy":"web","policy":"web",')
    yield with_members("a policy before the data", '"policy":"web","data":{},')
    yield with_members("a policy before the times", '"policy":"web",', at=start)
    yield case("a policy behind the label", one.replace("}]}", ',"policy":"web"}]}'))
    yield with_members("a policy with an escape in its name", f'{with_escape("policy")}:"web",')
    former = one.replace(f"{tag},", "")
    yield case("sessions without tags", former)


def with_escape(name):
    """The name in quotes, with its first letter as an escape."""
    return f'"\\u{ord(name[0]):04x}{name[1:]}"'


def longest(slots=SLOTS, data_bytes=MAX_DATA_BYTES):
    """No readable table of these slots, with data of that length, has a longer text."""
    times = {"started_at": MAX_NUMERIC_DATE, "last_seen": MAX_NUMERIC_DATE}
    given = {"ends_at": MAX_NUMERIC_DATE, "data": data_of(data_bytes), "policy": "p" * 16}
    most = {"seq": MAX_COUNTER, **times, "repeated": True, **given, "label": '"' * 64}
    sessions = [session(slot, MAX_COUNTER - slot, **most) for slot in range(slots)]
    return table(*sessions, generation=MAX_COUNTER)


def data_of(length):
    """Data of so many bytes."""
    return compact_json({"a": "x" * (length - len('{"a":""}'))})


def labels():
    """A client's text, and the label that is made from it."""

    def case(name, label, cleaned):
        return {"name": name, "label": label, "expect": cleaned}

    for name, label in {
        "empty": "",
        "plain": "Firefox on Linux",
        "beyond ASCII": "Телефон Алисы 中 🔑",
        "JSON's own characters": 'a "quoted" \\ / name',
        "markup, which is the application's to escape": "<b>&amp;</b>",
        "64 bytes": "x" * 64,
        "64 bytes of 32 characters": "é" * 32,
        "64 bytes of 16 characters": "🔑" * 16,
        "a combining mark": "e\u0301",
        "a variation selector": "\u2764\ufe0f",
    }.items():
        yield case(f"unchanged: {name}", label, label)
    yield case("one space", " ", "")
    yield case("spaces around it", "  Firefox ", "Firefox")
    yield case("a run of spaces", "Firefox   on  Linux", "Firefox on Linux")
    yield case("a run of various spaces", "Firefox \t\u3000\r\n on Linux", "Firefox on Linux")
    spaces = [*range(0x09, 0x0E), 0x1C, 0x1F, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]
    controls = [0x00, 0x01, 0x1B, 0x7F, 0x80, 0x9F]
    for char in spaces + [0x2028, 0x2029, 0x202F, 0x205F, 0x3000] + controls:
        yield case(f"U+{char:04X} is a space", f"a{chr(char)}b", "a b")
    invisible = [(0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E)]
    invisible += [(0x2060, 0x206F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F)]
    for first, last in invisible:
        for char in sorted({first, last}):
            yield case(f"U+{char:04X} is removed", f"a{chr(char)}b", "ab")
    for char in (0x21, 0x1FFF, 0xDFFFF, 0x180D, 0x2010, 0x2027, 0x2030, 0x205E, 0x2070, 0xFFF8, 0xFFFC, 0xE0080):
        yield case(f"U+{char:04X} is kept", f"a{chr(char)}b", f"a{chr(char)}b")
    yield case("a removed character between spaces", "a \u200b b", "a b")
    yield case("a removed character at the beginning", "\ufeff a", "a")
    yield case("a removed character at the end", "a \u200b", "a")
    yield case("nothing but removed characters", "\u200b\u2060", "")
    yield case("65 bytes", "x" * 65, "x" * 64)
    yield case("a character of 2 bytes across the end", "x" * 63 + "é", "x" * 63)
    yield case("a character of 4 bytes across the end", "x" * 61 + "🔑", "x" * 61)
    yield case("a space at the cut", "x" * 63 + " yy", "x" * 63)
    yield case("a space right behind the cut", "x" * 64 + " yy", "x" * 64)
    yield case("two spaces that count as one", "x" * 62 + "  y", "x" * 62 + " y")
    yield case("removed characters do not count", "\u00ad" * 40 + "x" * 64, "x" * 64)
    yield case("10 000 bytes", "ab " * 3333 + "a", ("ab " * 21 + "a"))
