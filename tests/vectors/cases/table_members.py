"""Texts of the table: the tag, and the members that a session may have."""

from format1.text import encode

from .common import MARKS, TAG, session, table

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
    moved = one.replace(f"{tag},", "").replace(
        '"last_seen":1800000000', f'"last_seen":1800000000,{tag}'
    )
    yield case("a tag behind the times", moved)

    for mark in MARKS:
        for text in ("false", "null", "1", "0", '"true"', "[true]", "{}", "True"):
            yield with_members(f"the mark {mark} {text}", f'"{mark}":{text},')
        yield with_members(f"the mark {mark} twice", f'"{mark}":true,"{mark}":true,')
        yield with_members(f"the mark {mark} before the times", f'"{mark}":true,', at=start)
        yield with_members(f"the mark {mark} behind the end", f'"ends_at":5,"{mark}":true,')
        yield with_members(
            f"the mark {mark} with an escape in its name", f"{with_escape(mark)}:true,"
        )
        yield with_members(f"the mark {mark} with a space", f'"{mark}": true,')
        yield with_members(
            f"the mark {mark} outside the session", "", one.replace("{", f'{{"{mark}":true,', 1)
        )
    yield with_members("both marks in another order", '"strict":true,"repeated":true,')
    yield with_members("both marks, the first false", '"repeated":false,"strict":true,')
    yield with_members("both marks, the second false", '"repeated":true,"strict":false,')
    yield with_members("both marks behind the end", '"ends_at":5,"repeated":true,"strict":true,')
    yield with_members("the end between the marks", '"repeated":true,"ends_at":5,"strict":true,')
    yield with_members("an unknown mark", '"reused":true,')

    for text in ("null", "-1", "-0", "5.0", "5e1", "05", '"5"', "true", "[5]", "253402300800"):
        yield with_members(f"an end {text}", f'"ends_at":{text},')
    yield with_members("an end out of all ranges", f'"ends_at":{10**30},')
    yield with_members("an end twice", '"ends_at":5,"ends_at":5,')
    yield with_members("an end before the times", '"ends_at":5,', at=start)
    yield with_members("an end behind the data", '"data":{},"ends_at":5,')
    yield with_members("an end with an escape in its name", f"{with_escape('ends_at')}:5,")

    for name, data in BAD_DATA.items():
        yield with_members(f"data: {name}", f'"data":{data},')
    yield with_members("data twice", '"data":{},"data":{},')
    yield with_members("data before the times", '"data":{},', at=start)
    yield with_members("data behind the policy", '"policy":"web","data":{},')
    yield case("data behind the label", one.replace("}]}", ',"data":{}}]}'))
    yield with_members("data with an escape in its name", f"{with_escape('data')}:{{}},")

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
