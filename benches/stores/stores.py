#!/usr/bin/env python3
"""Measures verification over stores beside denylists and opaque sessions, and look-ups beside the bare
statement, and writes the tables.

stores.py           run, then write
stores.py run       runs the benchmarks `stores`, `memory` and `staleness` over servers of their own
stores.py write     writes stores.json from these runs, then renders it
stores.py render    writes the section `stores` of benches/README.md and of
                        the guide from stores.json
stores.py check     fails if the section is not what `render` writes

PostgreSQL and Redis are installed where they are missing (Debian's packages, as root or through
sudo), and answer on sockets in a temporary directory alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

# Before the import, which would leave its bytecode among the sources.
sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parents[1] / "report"))

import figures
from figures import Figure, Medians, figure, require_same
from readme import GUIDE, PAGE, ROOT, check, counted, logged, paragraph, render, with_section

STORES_JSON = ROOT / "benches" / "stores" / "stores.json"
RUNS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "stores"
CLUSTER = ROOT / "tests" / "cluster" / "postgres"

BENCH = ["cargo", "bench", "--locked", "-p", "relatch-benches", "--features", "stores"]

# The benchmark's names, and the words of the table.
OURS = {
    "cache": "`authenticate`, the record cached",
    "sqlite": "`authenticate`, SQLite",
    "postgres": "`authenticate`, PostgreSQL",
}
THEIRS = {
    "decode": "plain `decode`, revokes nothing",
    "redis-denylist": "`decode`, denylist in Redis",
    "postgres-denylist": "`decode`, denylist in PostgreSQL",
    "postgres-sessions": "opaque sessions in PostgreSQL",
}
# The same of the look-ups. The divisor is the first word of a name.
STATEMENTS = {
    "sqlite": "SQLite, the bare statement, one connection",
    "postgres": "PostgreSQL, the bare statement, one connection",
}
LOOKUPS = {
    "sqlite-store": "SQLite, `read`",
    "sqlite-store-calling-thread": "SQLite, `read`, with `read_on_calling_thread`",
    "sqlite-rusqlite": "SQLite, the bare statement with `rusqlite`",
    "postgres-store-1": "PostgreSQL, `read`, one caller",
    "postgres-store-16": "PostgreSQL, `read`, 16 callers at once",
    "postgres-store-64": "PostgreSQL, `read`, 64 callers at once",
}
PACKAGES = ["jsonwebtoken", "sqlx", "redis", "rusqlite"]


class Servers(NamedTuple):
    """The addresses, as variables for the benchmarks, and the versions."""

    variables: dict[str, str]
    versions: dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    of_run = commands.add_parser("run")
    of_run.add_argument("--runs", type=int, default=3, help="of `stores` (default: 3)")
    of_run.add_argument(
        "--staleness", type=Path, help="take the line of JSON in this file instead"
    )
    for command in ("write", "render", "check"):
        commands.add_parser(command)
    arguments = parser.parse_args()
    if arguments.command == "run":
        run(arguments.runs, arguments.staleness)
    elif arguments.command == "write":
        write()
    elif arguments.command == "render":
        render(rendered())
    elif arguments.command == "check":
        check(rendered(), "stores/stores.py")
    else:
        run(of_run.get_default("runs"), None)
        write()


def run(runs: int, staleness: Path | None) -> None:
    # Runs of older sources must not be mixed with these.
    shutil.rmtree(RUNS, ignore_errors=True)
    RUNS.mkdir(parents=True)
    benches = [word for name in ("stores", "memory", "staleness") for word in ("--bench", name)]
    logged("build", RUNS / "build.log", [*BENCH, *benches, "--no-run"], {})
    load_before = os.getloadavg()[0]
    for number in range(1, runs + 1):
        home = RUNS / f"stores-{number}"
        # Each run has new, empty servers.
        with one_processor(), servers() as (variables, versions):
            variables["CRITERION_HOME"] = str(home)
            what = f"stores, run {number} of {runs}"
            logged(what, home.with_suffix(".log"), [*BENCH, "--bench", "stores"], variables)
    with servers() as (variables, versions):
        logged_json("memory", variables)
        if staleness is None:
            logged_json("staleness", variables)
        else:
            keep_json("staleness", staleness)
    about = {"servers": versions, "load_before": round(load_before, 2)}
    (RUNS / "about.json").write_text(json.dumps(about), encoding="utf-8")


def logged_json(bench: str, variables: dict[str, str]) -> None:
    """Runs a benchmark that prints one line of JSON."""
    log = RUNS / f"{bench}.log"
    logged(bench, log, [*BENCH, "--bench", bench], variables)
    keep_json(bench, log)


def keep_json(bench: str, log: Path) -> None:
    lines = log.read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("{"))
    (RUNS / f"{bench}.json").write_text(line, encoding="utf-8")


@contextmanager
def one_processor() -> Iterator[None]:
    """Puts all processes that are started on one processor. The result is then the work of client
    and servers together; on several processors the scheduler and the wake-up of idle ones change it
    by a factor."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


@contextmanager
def servers() -> Iterator[Servers]:
    install_redis()
    with tempfile.TemporaryDirectory(prefix="relatch-stores-") as name:
        folder = Path(name)
        # PostgreSQL's server is another user, if this one is root.
        folder.chmod(0o711)
        cluster = folder / "postgres"
        url = output(str(CLUSTER), "start", str(cluster)).strip()
        try:
            with redis(folder / "redis.sock", folder) as redis_url:
                yield Servers(
                    {
                        "STORES_POSTGRES": url,
                        "STORES_REDIS": redis_url,
                        "STORES_FOLDER": str(folder),
                    },
                    {
                        "PostgreSQL": (cluster / "data" / "PG_VERSION").read_text().strip(),
                        "Redis": output("redis-server", "--version").split("v=")[1].split()[0],
                    },
                )
        finally:
            output(str(CLUSTER), "stop", str(cluster))


@contextmanager
def redis(socket: Path, folder: Path) -> Iterator[str]:
    """A server that keeps everything in memory, and listens on this socket alone."""
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            if server.poll() is not None:
                sys.exit("redis-server does not start")
            time.sleep(0.05)
        yield f"redis+unix://{socket}"
    finally:
        server.terminate()
        server.wait()


def install_redis() -> None:
    if shutil.which("redis-server"):
        return
    as_root = [] if os.getuid() == 0 else ["sudo"]
    output(*as_root, "apt-get", "update", "-q")
    install = ["apt-get", "install", "-qy", "--no-install-recommends", "redis-server"]
    output(*as_root, "env", "DEBIAN_FRONTEND=noninteractive", *install)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, cwd=ROOT, text=True, stdout=subprocess.PIPE).stdout


def write() -> None:
    STORES_JSON.write_text(json.dumps(collect(), indent=2) + "\n", encoding="utf-8")
    render(rendered())


def collect() -> dict[str, object]:
    runs = [read_run(home) for home in sorted(RUNS.glob("stores-*")) if home.is_dir()]
    if not runs:
        sys.exit("no run: start `benches/stores/stores.py run` first")
    about, memory, staleness = (
        json.loads((RUNS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("about", "memory", "staleness")
    )
    staleness = staleness["staleness"]
    return {
        "machine": {
            "processor": figures.processor(),
            "processors": os.cpu_count(),
            "sha_extensions": figures.has_sha(),
            "rustc": figures.rustc(ROOT),
            "load_before": about["load_before"],
        },
        "versions": {name: figures.version(ROOT, name) for name in PACKAGES} | about["servers"],
        "ratios": {
            ours: {theirs: figure(run[ours][theirs] for run in runs) for theirs in THEIRS}
            for ours in OURS
        },
        "nanoseconds": {
            name: figure(run["nanoseconds"][name] for run in runs) for name in [*OURS, *THEIRS]
        },
        "lookups": {
            "ratios": {name: figure(run["lookups"][name] for run in runs) for name in LOOKUPS},
            "nanoseconds": {
                name: figure(run["lookup-nanoseconds"][name] for run in runs)
                for name in [*STATEMENTS, *LOOKUPS]
            },
        },
        "bytes_per_cached_user": memory,
        "staleness_notified": staleness["notified_after_answer"],
        "staleness_bound": {"bound": staleness["bound"]} | staleness["not_notified_after_answer"],
    }


def read_run(home: Path) -> dict[str, Medians]:
    groups: dict[str, Medians] = {}
    for path in home.glob("*/*/new/estimates.json"):
        group, name = path.relative_to(home).parts[:2]
        estimates = json.loads(path.read_text(encoding="utf-8"))
        groups.setdefault(group, {})[name] = estimates["median"]["point_estimate"]
    wanted = {ours: [*THEIRS] for ours in OURS} | {
        "nanoseconds": [*OURS, *THEIRS],
        "lookups": [*LOOKUPS],
        "lookup-nanoseconds": [*STATEMENTS, *LOOKUPS],
    }
    require_same(home.name, groups, wanted)
    for group, medians in groups.items():
        require_same(f"{home.name}/{group}", medians, wanted[group])
    return groups


def rendered() -> dict[Path, str]:
    found = json.loads(STORES_JSON.read_text(encoding="utf-8"))
    text = section(found)
    return {page: with_section(page, "stores", text) for page in (PAGE, GUIDE)}


def section(found: dict[str, object]) -> str:
    versions, ratios = found["versions"], found["ratios"]
    memory, notified, bound = (
        found[name] for name in ("bytes_per_cached_user", "staleness_notified", "staleness_bound")
    )
    runs = len(ratios["cache"]["decode"]["runs"])
    lines = [
        "| 1 is the time of | " + " | ".join(THEIRS.values()) + " |",
        "| --- |" + " :---: |" * len(THEIRS),
        *(
            f"| {words} | " + " | ".join(cell(ratios[name][theirs]) for theirs in THEIRS) + " |"
            for name, words in OURS.items()
        ),
        "",
        paragraph(
            "Below 1 relatch is faster. Requests are verified one after another, on one processor"
            " that the servers share, so the figures compare the work of client and server"
            " together. A network adds one round trip for each query. Each figure is the"
            f" median of {counted(runs, 'run', 'runs')}, measured in turns with its divisor; the"
            " brackets have the least and the greatest. Each table has"
            " 100,000 users, each denylist 1,000,000 tokens, and there are 300,000 opaque"
            f" sessions, whose row is joined with the user's. PostgreSQL {versions['PostgreSQL']},"
            f" Redis"
            f" {versions['Redis']}, sqlx {versions['sqlx']} for all, redis"
            f" {versions['redis']}, jsonwebtoken {versions['jsonwebtoken']} with `rust_crypto`,"
            f" built by rustc {found['machine']['rustc']}."
        ),
        "",
        *lookup_lines(found["lookups"]),
        "",
        paragraph(
            "The bare statement reads the same columns of the same row with sqlx, over one connection"
            f" that is kept; with rusqlite {versions['rusqlite']} it runs on the calling thread. The"
            " time is that of all look-ups divided by their number, on the same one processor."
        ),
        "",
        paragraph(
            f"A user with one session takes {memory['record']['allocated']:,} allocated bytes in the"
            f" cache, and {memory['record_and_key']['allocated']:,} with a derived key (the mean of"
            f" {memory['users']:,} users); the process grows by"
            f" {memory['record']['resident']:,} and {memory['record_and_key']['resident']:,}."
            " After a revocation in one process, another process that PostgreSQL notifies still"
            f" accepts the token for {span(notified['median'])} (median) or"
            f" {span(notified['p99'])} (99th percentile). Without notifications, and with a"
            f" cache bound of {span(bound['bound'])}, it does for {span(bound['median'])} or"
            f" {span(bound['p99'])}."
        ),
        "",
    ]
    return "\n".join(lines)


def lookup_lines(found: dict[str, dict[str, Figure]]) -> Iterator[str]:
    ratios, times = found["ratios"], found["nanoseconds"]
    yield "| a look-up by id | µs | ÷ the bare statement |"
    yield "| --- | :---: | :---: |"
    for statement, words in STATEMENTS.items():
        yield f"| {words} | {cell(microseconds(times[statement]))} | 1 |"
        for name, words in LOOKUPS.items():
            if name.startswith(statement):
                yield f"| {words} | {cell(microseconds(times[name]))} | {cell(ratios[name])} |"


def microseconds(of: Figure) -> Figure:
    return figure(run / 1000 for run in of["runs"])


def cell(of: Figure) -> str:
    median, least, most = (short(of[name]) for name in ("median", "min", "max"))
    return median if len(of["runs"]) == 1 else f"**{median}** ({least}–{most})"


def short(value: float) -> str:
    """Two significant digits."""
    digits = sum(value < limit for limit in (9.95, 0.995, 0.0995))
    return f"{value:.{digits}f}"


def span(ms: float) -> str:
    return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 9.95 else f"{ms:.1f} ms"


if __name__ == "__main__":
    main()
