#!/usr/bin/env python3
"""Measures the time of each operation beside other libraries, and writes the tables and plots.

speed.py           run, then write
speed.py run       runs the benchmark `speed` several times, under each provider of jsonwebtoken
speed.py write     writes speed.json from those runs, then renders it
speed.py render    writes speed.svg, stages.svg and the section `speed` of benches/README.md and of
                   README.md and the guide from speed.json
speed.py check     fails if one of these four is not what `render` writes
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

# Before the import, which would leave its bytecode among the sources.
sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parents[1] / "report"))

import plot
from figures import GROUPS, YARDSTICKS, Figure, collect, require_rows
from readme import (
    GUIDE,
    PAGE,
    PLOTS,
    README,
    ROOT,
    check,
    counted,
    logged,
    paragraph,
    render,
    with_section,
)

SPEED_JSON = ROOT / "benches" / "speed" / "speed.json"
SPEED_SVG = ROOT / "benches" / "speed" / "speed.svg"
STAGES_SVG = ROOT / "benches" / "speed" / "stages.svg"
RUNS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "speed"

BENCH = ["cargo", "bench", "--locked", "-p", "relatch-benches", "--bench", "speed"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    of_run = commands.add_parser("run")
    of_run.add_argument("--runs", type=int, default=3, help="with rust_crypto (default: 3)")
    of_run.add_argument("--aws-runs", type=int, default=1, help="with aws_lc_rs (default: 1)")
    for command in ("write", "render", "check"):
        commands.add_parser(command)
    arguments = parser.parse_args()
    if arguments.command == "run":
        run(arguments.runs, arguments.aws_runs)
    elif arguments.command == "write":
        write()
    elif arguments.command == "render":
        render(rendered())
    elif arguments.command == "check":
        check(rendered(), "speed/speed.py")
    else:
        run(of_run.get_default("runs"), of_run.get_default("aws_runs"))
        write()


def run(rust_crypto: int, aws_lc_rs: int) -> None:
    # Runs of older sources must not be mixed with these.
    shutil.rmtree(RUNS, ignore_errors=True)
    RUNS.mkdir(parents=True)
    logged("build", RUNS / "build.log", [*BENCH, "--no-run"], {})
    for provider, runs in (("rust_crypto", rust_crypto), ("aws_lc_rs", aws_lc_rs)):
        for number in range(1, runs + 1):
            home = RUNS / f"{provider}-{number}"
            what = f"{provider}, run {number} of {runs}"
            variables = {"JWT_PROVIDER": provider, "CRITERION_HOME": str(home)}
            logged(what, home.with_suffix(".log"), BENCH, variables)


def write() -> None:
    SPEED_JSON.write_text(json.dumps(collect(ROOT, RUNS), indent=2) + "\n", encoding="utf-8")
    render(rendered())


def rendered() -> dict[Path, str]:
    figures = json.loads(SPEED_JSON.read_text(encoding="utf-8"))
    require_rows("speed.json", figures["ratios"])
    stages = [
        (name.split("-", 1)[1].replace("-", " "), stage["median"])
        for name, stage in figures["stages"].items()
    ]
    whole = figures["nanoseconds"]["verify"]["median"]
    # Scanning, comparing and allocating: they are measured with no library.
    stages.append(("the rest", whole - sum(ns for _, ns in stages)))
    section = speed_section(figures) + stages_section(stages, whole)
    return {
        README: with_section(README, "speed", quoted(figures)),
        GUIDE: with_section(GUIDE, "speed", quoted(figures)),
        PAGE: with_section(PAGE, "speed", section),
        SPEED_SVG: speed_plot(figures["ratios"]),
        STAGES_SVG: plot.stages(stages, whole),
    }


def quoted(figures: dict[str, object]) -> str:
    """The table of README.md: the rows that have short words."""
    machine, ratios = figures["machine"], figures["ratios"]
    verify = figures["nanoseconds"]["verify"]["median"]
    sha = "with" if machine["sha_extensions"] else "without"
    rows = [row for rows in GROUPS.values() for row in rows if row.short]
    lines = [
        "| | time ÷ that of plain `decode` |",
        "| --- | ---: |",
        *(f"| {row.short} | {plot.ratio(ratios[row.name]['median'])} |" for row in rows),
        "",
        paragraph(
            f"A verification took {plot.duration(verify)} ({machine['processor']} {sha} SHA"
            " extensions). Each figure is the median of"
            f" {counted(len(ratios['verify']['runs']), 'run', 'runs')}. The [benchmarks] have the"
            " spread, the other operations, and stores and web servers."
        ),
        "",
        "[benchmarks]: https://github.com/relatch/relatch/blob/main/benches/README.md",
        "",
    ]
    return "\n".join(lines)


def speed_section(figures: dict[str, object]) -> str:
    machine, versions, ratios = figures["machine"], figures["versions"], figures["ratios"]
    nanoseconds, threads = figures["nanoseconds"], figures["scaling"]
    verify, compression = (nanoseconds[name]["median"] for name in ("verify", "compression"))
    unit = ratios["verify"]["median"] / verify
    sha = "with" if machine["sha_extensions"] else "without"
    lines = [
        f"![The ratios of the table below, as bars]({PLOTS}/speed/speed.svg)",
        "",
        paragraph(
            "1 is the time of plain `jsonwebtoken::decode`; for issuing, that of plain `encode`. A"
            f" verification took {plot.duration(verify)} ({machine['processor']}"
            f" {sha} SHA extensions). Machines differ, so look at the ratios: each is measured in"
            " turns with its yardstick, and is the median of"
            f" {counted(len(ratios['verify']['runs']), 'run', 'runs')}. The versions are jsonwebtoken"
            f" {versions['jsonwebtoken']} with `rust_crypto`, or with aws-lc-rs"
            f" {versions['aws-lc-rs']} where the row says so, and jwt-simple"
            f" {versions['jwt-simple']} in pure Rust, built by rustc {machine['rustc']}. A"
            f" compression of SHA-256 took {plot.duration(compression)}, so the floor of a"
            f" verification is {plot.ratio(17 * compression * unit)}, and"
            f" {plot.ratio(11 * compression * unit)} with the key cached."
        ),
        "",
        "| | ratio | min–max of the runs |",
        "| --- | ---: | :---: |",
    ]
    for group, rows in GROUPS.items():
        lines.append(f"| **{group}** | | |")
        for row in rows:
            ratio = ratios[row.name]
            spread = "the yardstick" if row.name == YARDSTICKS[group] else min_max(ratio)
            lines.append(f"| {row.words} | {plot.ratio(ratio['median'])} | {spread} |")
    lines += [
        "",
        paragraph(
            f"Two threads verify {with_min_max(threads['verify'])} times as many tokens as one, and"
            f" `decode` {with_min_max(threads['decode'])} times as many; 2.00 would be perfect."
            f" The first divided by the second is {with_min_max(threads['verify/decode'])}."
        ),
        "",
    ]
    return "\n".join(lines)


def stages_section(stages: list[tuple[str, float]], whole: float) -> str:
    lines = [
        "",
        "The stages of a verification, the part of each library measured alone:",
        "",
        f"![The shares of the table below, as bars]({PLOTS}/speed/stages.svg)",
        "",
        "| stage | share | time |",
        "| --- | ---: | ---: |",
        *(f"| {label} | {ns / whole:.0%} | {plot.duration(ns)} |" for label, ns in stages),
        f"| **the whole of `verify`** | 100% | {plot.duration(whole)} |",
        "",
    ]
    return "\n".join(lines)


def speed_plot(ratios: dict[str, Figure]) -> str:
    groups = []
    for group, rows in GROUPS.items():
        bars = []
        for row in rows:
            ratio = ratios[row.name]
            words = row.words.replace("`", "")
            bars.append(plot.Bar(words, ratio["median"], ratio["min"], ratio["max"], row.is_peer))
        is_other = YARDSTICKS[group] != "decode"
        groups.append((f"{group} (1 is plain {YARDSTICKS[group]})" if is_other else group, bars))
    return plot.bars(
        "The time of relatch and of others, relative to plain jsonwebtoken::decode",
        "One bar per row of the table in benches/README.md. Shorter is faster.",
        "the yardstick",
        groups,
    )


def with_min_max(of: Figure) -> str:
    return f"{plot.ratio(of['median'])} ({min_max(of)})"


def min_max(of: Figure) -> str:
    if len(of["runs"]) == 1:
        return "one run"
    return f"{plot.ratio(of['min'])}–{plot.ratio(of['max'])}"


if __name__ == "__main__":
    main()
