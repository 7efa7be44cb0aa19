"""What the reports have in common: running what they measure, and their sections of the README."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


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
        sys.exit(f"not what `benches/{script} render` makes: {', '.join(wrong)}")


def with_section(section_of: str, section: str) -> str:
    """The README with this between the marks of its section."""
    begin, end = f"<!-- {section_of}:begin -->\n", f"<!-- {section_of}:end -->\n"
    text = README.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"README.md must have one begin and one end of the section {section_of}")
    before, rest = text.split(begin)
    return before + begin + section + end + rest.split(end)[1]


def paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
