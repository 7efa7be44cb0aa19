"""The benchmarks as the reader's rows, and the figures that several runs of them make."""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Callable, Iterable, NamedTuple

Pass = dict[str, float]  # the median of each benchmark, in nanoseconds
Figure = dict[str, object]  # median, min, max, and the values of the runs that these are of


class Row(NamedTuple):
    """A benchmark, and the words for it: the plot has room for 55 letters."""

    name: str
    words: str
    is_peer: bool = False


# Every benchmark of a pass, but those on threads, is a row here.
GROUPS = {
    "Verifying": [
        Row("verify", "verify: guard, lookup, derivation, signature, claims"),
        Row("verify-hash", "… and the digest of the password hash taken each time"),
        Row("verify-text", "… from the header's text, which is copied and wiped"),
        Row("verify-session", "… with the session's slot"),
        Row("verify-stamp", "… in stamp mode (HS256)"),
        Row("verify-cold", "… over 100,000 users in turn"),
    ],
    "Rejecting": [
        Row("wrong-header", "another header, before the lookup"),
        Row("forged", "forged under another key, before the lookup"),
        Row("expired", "expired, before the lookup"),
        Row("revoked", "revoked by a bump of the version, after the lookup"),
    ],
    "Issuing": [
        Row("issue", "issue"),
        Row("encode", "`jsonwebtoken::encode`, without a `jti` drawn", is_peer=True),
    ],
    "The others": [
        Row("decode", "`jsonwebtoken::decode`, one key for all, revokes nothing", is_peer=True),
        Row("decode-cold", "… over 100,000 users in turn", is_peer=True),
        Row("aws_lc_rs/decode", "… with the provider `aws_lc_rs`", is_peer=True),
        Row("denylist", "`decode`, then a `HashSet` of 1,000,000 revoked `jti`s", is_peer=True),
        Row(
            "derive-and-decode",
            "the same idea in four lines: read `sub`, derive, `decode`",
            is_peer=True,
        ),
        Row("jwt-simple", "`jwt-simple`, one key for all, revokes nothing", is_peer=True),
    ],
}
YARDSTICKS = {
    "Verifying": "decode",
    "Rejecting": "decode",
    "Issuing": "encode",
    "The others": "decode",
}
THREADED = [f"{name}-threads-{threads}" for name in ("decode", "verify") for threads in (1, 2)]

PEERS = ["jsonwebtoken", "jwt-simple", "aws-lc-rs"]


class Run(NamedTuple):
    passes: list[Pass]
    stages: Pass


def collect(root: Path, runs: Path) -> dict[str, object]:
    """The figures of the runs in this folder, and of what the sources at `root` were built with."""
    rust, aws = read_runs(runs, "rust_crypto"), read_runs(runs, "aws_lc_rs")
    if len({len(run.passes) for run in rust + aws}) != 1:
        sys.exit("the runs differ in their passes")
    figures: dict[str, object] = {
        "machine": {"processor": processor(), "sha_extensions": has_sha(), "rustc": rustc(root)},
        "versions": {peer: version(root, peer) for peer in PEERS},
        "passes": len(rust[0].passes),
        "nanoseconds": {
            name: over(rust, lambda p: p[name]) for name in ("decode", "encode", "verify")
        },
        "ratios": {
            row.name: over(rust, lambda p: p[row.name] / p[YARDSTICKS[group]])
            for group, rows in GROUPS.items()
            for row in rows
            if "/" not in row.name
        },
        "scaling": {
            "decode": over(rust, lambda p: scaling(p, "decode")),
            "verify": over(rust, lambda p: scaling(p, "verify")),
            "verify/decode": over(rust, lambda p: scaling(p, "verify") / scaling(p, "decode")),
        },
    }
    # A process has one provider, and relatch uses none: its `verify` is the same in both, so each
    # `decode` is measured against the `verify` of its own process.
    base = median(values(rust, lambda p: p["decode"] / p["verify"]))
    figures["ratios"]["aws_lc_rs/decode"] = figure(
        [value / base for value in values(aws, lambda p: p["decode"] / p["verify"])]
    )
    names = sorted(rust[0].stages, key=lambda name: int(name.split("-")[0]))
    if any(set(run.stages) != set(names) for run in rust):
        sys.exit("the runs differ in their stages")
    figures["stages"] = {name: figure([run.stages[name] for run in rust]) for name in names}
    return figures


def over(runs: list[Run], value: Callable[[Pass], float]) -> Figure:
    return figure(values(runs, value))


def values(runs: list[Run], value: Callable[[Pass], float]) -> list[float]:
    return [median(value(each) for each in run.passes) for run in runs]


def figure(runs: list[float]) -> Figure:
    def rounded(value: float) -> float:
        return float(f"{value:.4g}")

    return {
        "median": rounded(median(runs)),
        "min": rounded(min(runs)),
        "max": rounded(max(runs)),
        "runs": [rounded(value) for value in runs],
    }


def scaling(measured: Pass, name: str) -> float:
    """How much more two threads do than one: 2 is perfect."""
    return 2 * measured[f"{name}-threads-1"] / measured[f"{name}-threads-2"]


def read_runs(runs: Path, provider: str) -> list[Run]:
    homes = sorted(home for home in runs.glob(f"{provider}-*") if home.is_dir())
    if not homes:
        sys.exit(f"there is no run with {provider}: `benches/report.py run` makes them")
    return [read_run(home) for home in homes]


def read_run(home: Path) -> Run:
    groups: dict[str, Pass] = {}
    for path in home.glob("*/*/new/estimates.json"):
        group, name = path.relative_to(home).parts[:2]
        estimates = json.loads(path.read_text(encoding="utf-8"))
        groups.setdefault(group, {})[name] = estimates["median"]["point_estimate"]
    stages = groups.pop("stages", {})
    for group, measured in sorted(groups.items()):
        require_same(f"{home.name}/{group}", measured, [*measured_rows(), *THREADED])
    if not groups:
        sys.exit(f"{home.name} is empty")
    return Run(list(groups.values()), stages)


def measured_rows() -> list[str]:
    return [row.name for rows in GROUPS.values() for row in rows if "/" not in row.name]


def require_rows(where: str, found: Iterable[str]) -> None:
    require_same(where, found, [row.name for rows in GROUPS.values() for row in rows])


def require_same(where: str, found: Iterable[str], wanted: Iterable[str]) -> None:
    unknown, missing = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    if unknown or missing:
        sys.exit(
            f"{where} does not have the rows of benches/figures.py:\n"
            f"  unknown: {', '.join(unknown) or 'none'}\n"
            f"  missing: {', '.join(missing) or 'none'}"
        )


def processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", cpuinfo(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def has_sha() -> bool:
    # As x86-64 and as AArch64 call it.
    found = re.search(r"^(?:flags|Features)\s*: (.+)$", cpuinfo(), re.MULTILINE)
    return found is not None and not {"sha_ni", "sha2"}.isdisjoint(found[1].split())


def cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else ""


def rustc(root: Path) -> str:
    output = subprocess.run(["rustc", "--version"], check=True, cwd=root, stdout=subprocess.PIPE)
    return output.stdout.decode().split()[1]


def version(root: Path, package: str) -> str:
    lock = (root / "Cargo.lock").read_text(encoding="utf-8")
    return ", ".join(re.findall(rf'^name = "{package}"\nversion = "(.+)"$', lock, re.MULTILINE))
