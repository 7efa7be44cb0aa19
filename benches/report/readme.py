"""Runs commands with a log, and writes the generated sections of benches/README.md, README.md and
the guide's page on performance.

A section of a page stands between two lines, `<!-- NAME:begin -->` and `<!-- NAME:end -->`, each of
which occurs once in the page.
"""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "benches" / "README.md"
# The guide quotes the tables, because the documentation cannot include the page of the benchmarks.
GUIDE = ROOT / "src" / "guide" / "performance.md"
# Absolute, so that the page shows its plots wherever it is included.
PLOTS = "https://raw.githubusercontent.com/relatch/relatch/main/benches"


def logged(what: str, log: Path, command: list[str], variables: dict[str, str]) -> None:
    print(f"{what}: ", end="", flush=True)
    began = time.monotonic()
    with log.open("wb") as output:
        status = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=os.environ | variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if status != 0:
        print("failed")
        sys.exit(log.read_text(encoding="utf-8", errors="replace"))
    print(f"{time.monotonic() - began:.0f} s")


def render(rendered: dict[Path, str]) -> None:
    for path, text in rendered.items():
        path.write_text(text, encoding="utf-8")


def check(rendered: dict[Path, str], script: str) -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path, text in rendered.items()
        if text != (path.read_text(encoding="utf-8") if path.exists() else None)
    ]
    if wrong:
        sys.exit(f"{', '.join(wrong)}: not what `benches/{script} render` writes")


def with_section(page: Path, name: str, section: str) -> str:
    """The page's text with `section` between the marks of this name."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->\n"
    text = page.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        where = page.relative_to(ROOT)
        sys.exit(f"{where} must have one line {begin.strip()} and one line {end.strip()}")
    before, rest = text.split(begin)
    return before + begin + section + end + rest.split(end)[1]


def paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
