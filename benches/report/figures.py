"""The rows of the speed table, and the figures computed from several runs of a benchmark."""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Iterable, NamedTuple

Medians = dict[str, float]  # of a group of benchmarks
Figure = dict[str, object]  # median, min, max, and the value of each run


class Row(NamedTuple):
    """A benchmark, and its words in the table: the plot has room for 55 letters."""

    name: str
    words: str
    is_peer: bool = False
    short: str = ""  # its words in README.md, which quotes some of the rows


# Every benchmark of the group `ratios` is a row here, except those on two threads.
GROUPS = {
    "Verifying": [
        Row(
            "verify",
            "verify: guard, lookup, derivation, signature, claims",
            short="relatch: verify",
        ),
        Row(
            "verify-cached",
            "… with the user's derived key cached",
            short="relatch: verify, the user's derived key cached",
        ),
        Row("verify-hash", "… of a record that holds the hash, not its digest"),
        Row("verify-text", "… from the header's text, which is copied and wiped"),
        Row(
            "verify-session",
            "… with the session's slot",
            short="relatch: verify, and check the session",
        ),
        Row("verify-stamp", "… in stamp mode (HS256)"),
        Row("verify-cold", "… over 100,000 users in turn, whose records are cold"),
    ],
    "Rejecting": [
        Row("wrong-header", "another header, before the lookup"),
        Row(
            "forged",
            "forged under another key, before the lookup",
            short="relatch: reject a forged token, before the lookup",
        ),
        Row("expired", "expired, before the lookup"),
        Row("revoked", "revoked by a bump of the version, after the lookup"),
    ],
    "Issuing": [
        Row("issue", "issue: guard, derivation, signature, a random `jti`"),
        Row("issue-cached", "… with the user's derived key cached"),
        Row("encode", "`jsonwebtoken::encode`, without a `jti` drawn", is_peer=True),
    ],
    "The others": [
        Row(
            "decode",
            "`jsonwebtoken::decode`, one key for all, revokes nothing",
            is_peer=True,
            short="`jsonwebtoken::decode`, which revokes nothing",
        ),
        Row("aws_lc_rs/decode", "… with the provider `aws_lc_rs`, run apart", is_peer=True),
        Row(
            "denylist",
            "`decode`, then a `HashSet` of 1,000,000 revoked `jti`s",
            is_peer=True,
            short="`decode`, then a denylist of 1,000,000 `jti`s in memory",
        ),
        Row("denylist-cold", "… over 100,000 tokens in turn", is_peer=True),
        Row(
            "derive-and-decode",
            "the same idea in four lines: read `sub`, derive, `decode`",
            is_peer=True,
        ),
        Row(
            "jwt-simple",
            "`jwt-simple`, one key for all, revokes nothing",
            is_peer=True,
            short="`jwt-simple`, which revokes nothing",
        ),
    ],
}
YARDSTICKS = {
    "Verifying": "decode",
    "Rejecting": "decode",
    "Issuing": "encode",
    "The others": "decode",
}
THREADED = ["decode-two-threads", "verify-two-threads"]

PEERS = ["jsonwebtoken", "jwt-simple", "aws-lc-rs"]


class Run(NamedTuple):
    """One run of the benchmark: its medians, by group."""

    ratios: Medians
    nanoseconds: Medians
    stages: Medians


def collect(root: Path, runs: Path) -> dict[str, object]:
    """The figures of the runs in this folder, with the machine and the versions of the libraries."""
    rust, aws = read_runs(runs, "rust_crypto"), read_runs(runs, "aws_lc_rs")
    figures: dict[str, object] = {
        "machine": {"processor": processor(), "sha_extensions": has_sha(), "rustc": rustc(root)},
        "versions": {peer: version(root, peer) for peer in PEERS},
        "nanoseconds": {
            name: figure(run.nanoseconds[name] for run in rust)
            for name in ("verify", "compression")
        },
        "ratios": {name: figure(run.ratios[name] for run in rust) for name in measured_rows()},
        "scaling": {
            "decode": figure(scaling(run, "decode") for run in rust),
            "verify": figure(scaling(run, "verify") for run in rust),
            "verify/decode": figure(scaling(run, "verify") / scaling(run, "decode") for run in rust),
        },
    }
    for yardstick in set(YARDSTICKS.values()):
        figures["ratios"][yardstick] = figure([1.0])
    # A process has one provider of `jsonwebtoken`. relatch uses none, so its `verify` is the same in
    # both processes, and each `decode` is compared with the `verify` of its own.
    base = median(run.ratios["verify"] for run in rust)
    figures["ratios"]["aws_lc_rs/decode"] = figure(base / run.ratios["verify"] for run in aws)
    names = sorted(rust[0].stages, key=lambda name: int(name.split("-")[0]))
    figures["stages"] = {name: figure(run.stages[name] for run in rust) for name in names}
    return figures


def figure(runs: Iterable[float]) -> Figure:
    def rounded(value: float) -> float:
        return float(f"{value:.4g}")

    runs = list(runs)
    return {
        "median": rounded(median(runs)),
        "min": rounded(min(runs)),
        "max": rounded(max(runs)),
        "runs": [rounded(value) for value in runs],
    }


def scaling(run: Run, name: str) -> float:
    """The throughput of two threads divided by that of one: 2 is perfect."""
    return 2 / run.ratios[f"{name}-two-threads"]


def read_runs(runs: Path, provider: str) -> list[Run]:
    homes = sorted(home for home in runs.glob(f"{provider}-*") if home.is_dir())
    if not homes:
        sys.exit(f"no run with {provider}: start `benches/speed/speed.py run` first")
    return [read_run(home) for home in homes]


def read_run(home: Path) -> Run:
    groups: dict[str, Medians] = {name: {} for name in Run._fields}
    for path in home.glob("*/*/new/estimates.json"):
        group, name = path.relative_to(home).parts[:2]
        estimates = json.loads(path.read_text(encoding="utf-8"))
        groups[group][name] = estimates["median"]["point_estimate"]
    require_same(f"{home.name}/ratios", groups["ratios"], [*measured_rows(), *THREADED])
    return Run(**groups)


def measured_rows() -> list[str]:
    """The rows that are measured: all but the yardsticks."""
    rows = [row.name for rows in GROUPS.values() for row in rows if "/" not in row.name]
    return [name for name in rows if name not in YARDSTICKS.values()]


def require_rows(where: str, found: Iterable[str]) -> None:
    require_same(where, found, [row.name for rows in GROUPS.values() for row in rows])


def require_same(where: str, found: Iterable[str], wanted: Iterable[str]) -> None:
    unknown, missing = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    if unknown or missing:
        sys.exit(
            f"{where} does not have the rows of benches/report/figures.py:\n"
            f"  unknown: {', '.join(unknown) or 'none'}\n"
            f"  missing: {', '.join(missing) or 'none'}"
        )


def processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", cpuinfo(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def has_sha() -> bool:
    # The names on x86-64 and on AArch64.
    found = re.search(r"^(?:flags|Features)\s*: (.+)$", cpuinfo(), re.MULTILINE)
    return found is not None and not {"sha_ni", "sha2"}.isdisjoint(found[1].split())


def cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else ""


def rustc(root: Path) -> str:
    output = subprocess.run(["rustc", "--version"], check=True, cwd=root, stdout=subprocess.PIPE)
    return output.stdout.decode().split()[1]


def version(root: Path, package: str) -> str:
    """The newest in the lock file, where it is last: the judge of the tests is an older one."""
    lock = (root / "Cargo.lock").read_text(encoding="utf-8")
    return re.findall(rf'^name = "{package}"\nversion = "(.+)"$', lock, re.MULTILINE)[-1]
