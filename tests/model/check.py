#!/usr/bin/env python3
"""Searches the model, then again with each fault of faults.py in a copy of the sources.

check.py           every configuration, then every fault
check.py --deep    the same, with longer histories in some configurations

Exits with 0 if every law holds for the sources, and each fault breaks its law.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

# Before the import, which would leave its bytecode among the sources.
sys.dont_write_bytecode = True

from faults import FAULTS, Edit, Fault

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "model-check"
COPY = TARGET / "sources"
# The files that cargo needs to build the model: the workspace's packages, and the pages that the
# library's documentation includes.
PAGES = sorted(page.name for page in ROOT.glob("*.md"))
SOURCES = ["Cargo.toml", "Cargo.lock", "src", "examples", "benches", "tests", *PAGES]
# An own target directory, so that a faulty build is never taken for the real one. A fault may leave
# a variable unused, which is no error here.
ENVIRONMENT = os.environ | {
    "CARGO_TARGET_DIR": str(TARGET),
    "CARGO_INCREMENTAL": "1",
    "RUSTFLAGS": "--cap-lints=allow",
}


def main() -> int:
    if sys.argv[1:] not in ([], ["--deep"]):
        sys.exit(__doc__)
    depth = ["deep"] if sys.argv[1:] else []
    copy_sources()
    model = build("model")
    laws = run(model, "laws").stdout.splitlines()
    if set(laws) != {fault.law for fault in FAULTS}:
        sys.exit("every law needs a fault that breaks it, and every fault a law")
    is_right = subprocess.run([model, *depth], check=False).returncode == 0
    uncaught = [fault.name for fault in FAULTS if not is_caught(fault)]
    print(f"{len(FAULTS) - len(uncaught)} of {len(FAULTS)} faults are caught")
    return 0 if is_right and not uncaught else 1


def is_caught(fault: Fault) -> bool:
    began = time.monotonic()
    texts = {edit.file: (COPY / edit.file).read_text() for edit in fault.edits}
    try:
        for edit in fault.edits:
            apply(edit)
        result = run(build("faults"), "refute", fault.configuration, fault.law)
    finally:
        for file, text in texts.items():
            (COPY / file).write_text(text)
    verdict = "caught" if result.returncode == 0 else "NOT CAUGHT"
    how = result.stdout.strip() or result.stderr.strip()
    took = time.monotonic() - began
    print(f"{verdict}: {fault.name}: `{fault.law}` {how}, {took:.1f} s", flush=True)
    return result.returncode == 0


def apply(edit: Edit) -> None:
    path = COPY / edit.file
    text = path.read_text()
    # The line break after `"""` is for the reader only.
    old, new = edit.old.removeprefix("\n"), edit.new.removeprefix("\n")
    if text.count(old) != 1:
        sys.exit(f"{edit.file}: this text must occur exactly once:\n{old}")
    path.write_text(text.replace(old, new))


def copy_sources() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    for name in SOURCES:
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        # Without the time of the original: cargo would take a build with a fault for a fresh one.
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, COPY / name, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(ROOT / name, COPY / name)


def build(profile: str) -> str:
    command = ["cargo", "build", "--locked", "--quiet", "--profile", profile, "-p", "relatch-model"]
    subprocess.run(command, check=True, cwd=COPY, env=ENVIRONMENT)
    return str(TARGET / profile / "relatch-model")


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
