"""Cases of sessions.json: texts of the table, and labels."""

from format1.claims import MAX_COUNTER, MAX_NUMERIC_DATE
from format1.table import MAX_DATA_BYTES, SLOTS
from format1.text import compact_json

from .common import GENERATION, ISSUED, MARKS, session, table
from .table_members import GOOD_DATA, optional_members, with_escape


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
    yield at_most("both marks", **MARKS)
    yield at_most("an end at 0", ends_at=0)
    yield at_most("the last end", ends_at=MAX_NUMERIC_DATE)
    yield at_most("a policy of a character", policy="a")
    yield at_most("a policy of 16 characters", policy="AZaz09-_.AZaz09-")
    yield at_most("a policy of digits", policy="1")
    every = {**MARKS, "ends_at": 5, "data": '{"a":1}', "policy": "web"}
    yield at_most("every member", **every)
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
        (1, 128, 555),
        (16, 128, 8016),
        (64, 128, 31920),
        (1, 512, 939),
        (16, 512, 14160),
        (64, 512, 56496),
    ):
        text = longest(slots, data_bytes)
        assert len(text) == length
        yield case(
            f"the longest table of {slots} slots with {data_bytes} bytes of data", text, "read"
        )

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
            "format 2 and 3": ('"format":1', '"format":2,"format":3'),
            "format 2 twice, once escaped": ('"format":1', '"format":2,"f\\u006frmat":2'),
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
        one.replace(
            '"started_at":1800000000,"last_seen":1800000000',
            '"last_seen":1800000000,"started_at":1800000000',
        ),
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
        "format 2 with another name twice": '{"format":2,"more":1,"more":2}',
        "format 2 with names twice further down": '{"more":[{"format":1,"format":1}],"format":2}',
        "format 2 with an escape in its name": '{"f\\u006frmat":2}',
    }.items():
        yield case(name, text, "unknown_format")


def longest(slots=SLOTS, data_bytes=MAX_DATA_BYTES):
    """No readable table of these slots, with data of that length, has a longer text."""
    times = {"started_at": MAX_NUMERIC_DATE, "last_seen": MAX_NUMERIC_DATE}
    given = {"ends_at": MAX_NUMERIC_DATE, "data": data_of(data_bytes), "policy": "p" * 16}
    most = {"seq": MAX_COUNTER, **times, **MARKS, **given, "label": '"' * 64}
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
    for char in (
        0x21,
        0x1FFF,
        0xDFFFF,
        0x180D,
        0x2010,
        0x2027,
        0x2030,
        0x205E,
        0x2070,
        0xFFF8,
        0xFFFC,
        0xE0080,
    ):
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
