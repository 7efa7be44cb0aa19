#!/usr/bin/env python3
"""Writes and checks the test vectors, and exchanges tokens with the library.

format1.py generate    writes the test vectors of tests/vectors/cases, always the same bytes
format1.py check       verifies every vector, and that the files are what `generate` writes
format1.py issue N     prints N random scenarios, one JSON object a line, each with its token
format1.py verify      verifies such lines, read from the standard input
"""

import json
import pathlib
import random
import sys

# The modules beside this one leave no compiled files in the tree.
sys.dont_write_bytecode = True

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TESTS))  # where `vectors` is

from format1.verdicts import JUDGES, judged, same, transition, verdict
from vectors import cases
from vectors.cases.scenarios import random_scenario

VECTORS = TESTS / "vectors"


def generated_files():
    return {VECTORS / name: pretty_json(content) for name, content in cases.files().items()}


def pretty_json(content):
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    # Invisible characters, and those that change the writing direction, become escapes.
    return "".join(char if char.isprintable() or char == "\n" else escape(char) for char in text)


def escape(char):
    return json.dumps(char)[1:-1]


def generate():
    for path, text in generated_files().items():
        path.write_bytes(text.encode())


def check():
    results = [
        (f"{path.name} is what `generate` writes", path.read_bytes() == text.encode())
        for path, text in generated_files().items()
    ]
    for file in JUDGES:
        results += judged(file, json.loads((VECTORS / file).read_bytes()))
    return report(results)


def issue_scenarios(count):
    for _ in range(count):
        print(json.dumps(random_scenario(random.SystemRandom())))


def verify_scenarios(lines):
    choose = random.SystemRandom()
    results = []
    for number, line in enumerate(lines, 1):
        case = json.loads(line)
        judge = transition if "action" in case else verdict
        results.append((f"line {number} is accepted", same(judge(case), case["expect"])))
        flipped = {**case, "token": flip(case["token"], choose)}
        said = judge(flipped)["verdict"]
        results.append((f"line {number} with another character", said == "rejected"))
    return report(results)


def flip(token, choose):
    at = choose.randrange(len(token))
    other = choose.choice([char for char in "-0Aa_" if char != token[at]])
    return token[:at] + other + token[at + 1 :]


def report(results):
    failed = [name for name, passed in results if not passed]
    for name in failed:
        print(f"FAILED {name}")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    # No results prove nothing.
    return 1 if failed or not results else 0


def main(arguments):
    if arguments == ["generate"]:
        return generate()
    if arguments == ["check"]:
        return check()
    if arguments == ["verify"]:
        return verify_scenarios(sys.stdin)
    if len(arguments) == 2 and arguments[0] == "issue" and arguments[1].isdecimal():
        return issue_scenarios(int(arguments[1]))
    return __doc__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
