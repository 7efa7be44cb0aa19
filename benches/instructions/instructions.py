#!/usr/bin/env python3
"""Counts the SHA-256 compressions and the instructions of each operation, with callgrind.

instructions.py           counts, and fails where a number differs from instructions.json
instructions.py record    counts, writes instructions.json, then renders it
instructions.py render    writes the section `instructions` of benches/README.md
instructions.py check     fails if the section is not what `render` writes

valgrind runs each operation of main.rs twice, so that the start of the program cancels out. Another
run of the same build gives the same numbers.

- The SHA-256 compressions (blocks hashed) must be exactly those recorded.
- The other instructions must be within 2 % of those recorded. They are shown, but not compared,
  where compiler or libc differ from the recorded ones.
- The operations of each group of ALIKE must hash the same blocks, and their other instructions must
  differ by at most 500, which is less than a compression takes.

Without valgrind the comparison is skipped.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, NamedTuple

# Before the import, which would leave its bytecode among the sources.
sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parents[1] / "report"))

from readme import PAGE, check, render, with_section

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
PROGRAM = TARGET / "release" / "instructions"
RECORD = Path(__file__).with_suffix(".json")
# Flags for lints or for one machine would change the numbers.
ENVIRONMENT = dict(os.environ, CARGO_TARGET_DIR=str(TARGET), RUSTFLAGS="")

# The repetitions in the two runs.
FEW, MANY = 100, 300
TIMES = MANY - FEW
TOLERANCE = 0.02
ALIKE_WITHIN = 500
# Operations that only hash: see main.rs.
ONE_BLOCK, TWO_BLOCKS, SIXTEEN_BLOCKS = KNOWN = ["one_block", "two_blocks", "sixteen_blocks"]


# Rejections whose time must not tell whether there is such a user.
ALIKE = [
    ["missing", "bad_signature", "bad_signature_cached", "revoked", "inactive"],
    ["missing_stamp", "revoked_stamp", "inactive_stamp"],
    ["refresh_missing", "refresh_bad_signature"],
]


class Profile(NamedTuple):
    """Counts by function: its own instructions, and its calls."""

    own: Counter
    calls: Counter


class Cost(NamedTuple):
    """The cost of an operation; `instructions` are without those of the compression function."""

    compressions: int
    instructions: int


def main() -> int:
    command = sys.argv[1:]
    if command not in ([], ["record"], ["render"], ["check"]):
        sys.exit(__doc__)
    if command == ["render"]:
        render(rendered())
        return 0
    if command == ["check"]:
        check(rendered(), "instructions/instructions.py")
        return 0
    is_to_record = command == ["record"]
    if shutil.which("valgrind") is None:
        print("skipped: there is no valgrind")
        return 1 if is_to_record else 0
    build()
    now = measure(output(str(PROGRAM)).splitlines())
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {"operations": {}}
    before = {name: Cost(**cost) for name, cost in recorded.pop("operations").items()}
    show(now, before)
    if not are_alike(now):
        return 1
    if is_to_record:
        record(now)
        return 0
    return compare(now, before, recorded)


def build() -> None:
    command = ["cargo", "build", "--locked", "--quiet", "--release"]
    command += ["--package", "relatch-benches", "--bin", "instructions"]
    subprocess.run(command, check=True, cwd=ROOT, env=ENVIRONMENT)


def measure(operations: List[str]) -> Dict[str, Cost]:
    names = operations + KNOWN
    # Each thread waits for a process.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        profiles = dict(zip(names, pool.map(profile, names)))
    function = Compression(profiles[ONE_BLOCK], profiles[TWO_BLOCKS])
    # Fails if the compiler inlined a second copy of the function.
    if function.blocks(profiles[SIXTEEN_BLOCKS]) != 16:
        sys.exit(f"`{function.name}` does not hash every block")
    return {name: function.cost(profiles[name]) for name in operations}


class Compression:
    """The compression function of SHA-256 (FIPS 180-4 §6.2.2).

    Its only branch is the loop over the blocks, so each call and each block takes a fixed number of
    instructions. Calls for one block and for two give both numbers.
    """

    def __init__(self, one: Profile, two: Profile):
        # The program does almost nothing else.
        self.name = one.own.most_common(1)[0][0]
        if [one.calls[self.name], two.calls[self.name]] != [TIMES, TIMES]:
            sys.exit(f"`{self.name}` is not called once for several blocks")
        self.per_block, rest = divmod(two.own[self.name] - one.own[self.name], TIMES)
        self.per_call, rest_of_call = divmod(one.own[self.name] - self.per_block * TIMES, TIMES)
        if rest or rest_of_call or not 0 <= self.per_call < self.per_block:
            sys.exit(f"`{self.name}` does not take a fixed number of instructions for a block")

    def blocks(self, profile: Profile) -> int:
        """How many blocks one repetition hashes."""
        own = profile.own[self.name] - self.per_call * profile.calls[self.name]
        blocks, rest = divmod(own, self.per_block * TIMES)
        if rest:
            sys.exit(
                f"`{self.name}` takes {own} instructions for blocks, {TIMES} times: that is no "
                f"whole number of blocks, which take {self.per_block} each"
            )
        return blocks

    def cost(self, profile: Profile) -> Cost:
        besides = sum(profile.own.values()) - profile.own[self.name]
        return Cost(self.blocks(profile), round(besides / TIMES))


def profile(operation: str) -> Profile:
    """The counts of MANY repetitions minus those of FEW."""
    few, many = run(operation, FEW), run(operation, MANY)
    for total, part in zip(many, few):
        total.subtract(part)
    return many


def run(operation: str, times: int) -> Profile:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "callgrind.out"
        command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += ["--compress-strings=no", str(PROGRAM), operation, str(times)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(f"{operation}: valgrind ends with {result.returncode}\n{result.stderr}")
        return read(out.read_text())


def read(text: str) -> Profile:
    """Reads callgrind's format (Callgrind Format Specification, in valgrind's manual)."""
    own, calls = Counter(), Counter()
    function = called = None
    is_call = False
    summary = None
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "fn":
            function = value
        elif key == "cfn":
            called = value
        elif key == "calls":
            calls[called] += int(value.split()[0])
            is_call = True
        elif line.startswith("summary:"):
            summary = int(line.split()[1])
        elif line and line[0] in "0123456789+-*":
            # The line after a call has the inclusive cost of the callee, which has own lines.
            if not is_call:
                own[function] += int(line.split()[1])
            is_call = False
    if sum(own.values()) != summary:
        sys.exit(f"callgrind counts {summary} instructions, and its functions {sum(own.values())}")
    return Profile(own, calls)


def show(now: Dict[str, Cost], before: Dict[str, Cost]) -> None:
    row = "{:<21}  {:>12}  {:>8}  {:>18}  {:>8}  {:>7}"
    print(row.format("", "compressions", "recorded", "other instructions", "recorded", "change"))
    for name, cost in now.items():
        was, percent = Cost("-", "-"), "-"
        if name in before:
            was, percent = before[name], f"{change(cost, before[name]):+.1%}"
        print(row.format(name, cost.compressions, was.compressions, cost.instructions,
                         was.instructions, percent))


def are_alike(now: Dict[str, Cost]) -> bool:
    unlike = []
    for group in ALIKE:
        blocks = {now[name].compressions for name in group}
        besides = [now[name].instructions for name in group]
        if len(blocks) > 1 or max(besides) - min(besides) > ALIKE_WITHIN:
            unlike.append(group)
    for group in unlike:
        print(f"{', '.join(group)}: they must cost the same")
    return not unlike


def compare(now: Dict[str, Cost], before: Dict[str, Cost], built_with: Dict[str, str]) -> int:
    is_comparable = built_with == environment()
    if before and not is_comparable:
        print(
            f"recorded with {text_of(built_with)}, built with {text_of(environment())}: "
            "compressions alone are compared"
        )
    more, less = [], []
    for name in sorted(now.keys() & before.keys()):
        hashed = now[name].compressions - before[name].compressions
        changed = change(now[name], before[name]) if is_comparable else 0
        if hashed > 0 or changed > TOLERANCE:
            more.append(name)
        elif hashed < 0 or changed < -TOLERANCE:
            less.append(name)
    unmatched = sorted(now.keys() ^ before.keys())
    for names, verdict in [
        (more, "more than recorded: make it cheaper, or if it is worth that,"),
        (less, "less than recorded:"),
        (unmatched, "only measured, or only recorded:"),
    ]:
        if names:
            print(f"{', '.join(names)}: {verdict} run `benches/instructions/instructions.py record`")
    return 1 if more or less or unmatched else 0


def change(cost: Cost, was: Cost) -> float:
    return cost.instructions / was.instructions - 1


def record(now: Dict[str, Cost]) -> None:
    operations = {name: cost._asdict() for name, cost in now.items()}
    text = json.dumps({**environment(), "operations": operations}, indent=2)
    RECORD.write_text(text + "\n")
    render(rendered())
    print(f"recorded in {RECORD.name}")


def rendered() -> Dict[Path, str]:
    recorded = json.loads(RECORD.read_text())
    lines = ["| operation | SHA-256 compressions | other instructions |", "| --- | ---: | ---: |"]
    for name, cost in recorded.pop("operations").items():
        lines.append(f"| `{name}` | {cost['compressions']} | {cost['instructions']:,} |")
    lines += ["", f"Recorded with {text_of(recorded)}.", ""]
    return {PAGE: with_section(PAGE, "instructions", "\n".join(lines))}


def environment() -> Dict[str, str]:
    """The versions on which the instructions depend, besides the sources."""
    return {"rustc": output("rustc", "-V"), "libc": " ".join(platform.libc_ver())}


def text_of(environment: Dict[str, str]) -> str:
    return " and ".join(environment.values())


def output(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return result.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
