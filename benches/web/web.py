#!/usr/bin/env python3
"""Loads a server that has one small answer behind three routes, and writes the table.

web.py           measures, writes web.json, then renders it
web.py quick     a short run that writes nothing; it fails if a request is not answered rightly
web.py render    writes the section `web` of benches/README.md and of
                        the guide from web.json
web.py check     fails if the section is not what `render` writes

The routes of benches/web/main.rs are without authentication (`open`), with relatch's (`me`), and
with a plain `jsonwebtoken::decode`, which revokes nothing (`decode`). wrk makes the load on one
processor; the server has another one, if there are two. It listens on 127.0.0.1 alone.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

# Before the import, which would leave its bytecode among the sources.
sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parents[1] / "report"))

import figures
from figures import Figure, figure
from readme import GUIDE, PAGE, ROOT, check, counted, paragraph, render, with_section

WEB_JSON = ROOT / "benches" / "web" / "web.json"
SCRIPT = ROOT / "benches" / "web" / "tokens.lua"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
BUILD = ["cargo", "build", "--locked", "--release", "--package", "relatch-benches"]
BUILD += ["--bin", "web", "--features", "web"]

CONNECTIONS = 32
SECONDS, ROUNDS = 5, 5

# Each route, and the file of the tokens sent with its requests. The first two have the same tokens,
# so that they differ in the verification alone.
ROUTES = {"open": "relatch", "me": "relatch", "decode": "plain"}
WORDS = {
    "open": "no authentication",
    "me": "`Authenticated`, the record cached",
    "decode": "plain `decode`, revokes nothing",
}
RATIOS = {
    "me/open": "relatch ÷ no authentication",
    "decode/open": "plain `decode` ÷ no authentication",
    "me/decode": "relatch ÷ plain `decode`",
}

ANSWER = {"role": "editor"}


class Load(NamedTuple):
    """The result of one route under load."""

    requests: int
    microseconds: int
    not_2xx: int
    failed: int  # no answer at all
    p50: int  # microseconds
    p99: int
    server_seconds: float  # of a processor

    def per_second(self) -> float:
        return self.requests / self.microseconds * 1e6

    def per_processor_second(self) -> float:
        """Requests per second of CPU time: other work on the machine does not change it."""
        return self.requests / self.server_seconds

    def server_share(self) -> float:
        return self.server_seconds / self.microseconds * 1e6


Round = dict[str, Load]  # by route


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    of_quick = commands.add_parser("quick")
    of_quick.add_argument("--seconds", type=int, default=1, help="for each route (default: 1)")
    of_quick.add_argument("--rounds", type=int, default=2, help="of all routes (default: 2)")
    for command in ("render", "check"):
        commands.add_parser(command)
    arguments = parser.parse_args()
    if arguments.command == "quick":
        quick(arguments.seconds, arguments.rounds)
    elif arguments.command == "render":
        render(rendered())
    elif arguments.command == "check":
        check(rendered(), "web/web.py")
    else:
        measure()


def quick(seconds: int, rounds: int) -> None:
    with server() as serving:
        for number in range(1, rounds + 1):
            a_round(serving, number, seconds)


def measure() -> None:
    load_before = os.getloadavg()[0]
    with server() as serving:
        loads = [a_round(serving, number, SECONDS) for number in range(1, ROUNDS + 1)]
    show_ratios(loads)
    found = collect(loads, load_before)
    WEB_JSON.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    render(rendered())


class Server(NamedTuple):
    """The process, its address, and the folder with the tokens that it accepts."""

    pid: int
    url: str
    folder: Path


@contextmanager
def server() -> Iterator[Server]:
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: Debian's package of that name has it")
    subprocess.run([*BUILD, "--quiet"], check=True, cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix="relatch-web-") as folder:
        program = [*on_processor(0), str(TARGET / "release" / "web"), folder]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                sys.exit("the server does not start")
            serving = Server(process.pid, f"http://{line.split()[-1]}", Path(folder))
            require_answers(serving)
            yield serving
        finally:
            process.kill()
            process.wait()


def a_round(serving: Server, number: int, seconds: int) -> Round:
    # In alternating order, so that no route always has the same place.
    order = list(ROUTES) if number % 2 == 1 else list(reversed(ROUTES))
    loads = {route: load(serving, route, seconds) for route in order}
    show(number, loads)
    return loads


def require_answers(serving: Server) -> None:
    """Each route gives the same answer, and 401 without a token of its own."""
    of_others = {"me": "plain", "decode": "relatch"}
    for route, kind in ROUTES.items():
        url = f"{serving.url}/{route}"
        for token in tokens(serving, kind)[::5000]:
            require(route, answer(url, token) == (200, ANSWER))
        if route in of_others:
            for token in (None, tokens(serving, of_others[route])[0]):
                require(route, answer(url, token)[0] == 401)


def require(route: str, is_right: bool) -> None:
    if not is_right:
        sys.exit(f"/{route} does not answer as it should")


def tokens(serving: Server, kind: str) -> list[str]:
    return (serving.folder / kind).read_text(encoding="ascii").splitlines()


def answer(url: str, token: str | None) -> tuple[int, object]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, None


def load(serving: Server, route: str, seconds: int) -> Load:
    command = [*on_processor(1), "wrk", "--threads", "1", "--connections", str(CONNECTIONS)]
    command += ["--duration", f"{seconds}s", "--timeout", "30s", "--script", str(SCRIPT)]
    command += [f"{serving.url}/{route}", "--", str(serving.folder / ROUTES[route])]
    before = processor_seconds(serving.pid)
    output, timeout = subprocess.PIPE, seconds + 60
    run = subprocess.run(command, check=True, stdout=output, text=True, timeout=timeout)
    spent = processor_seconds(serving.pid) - before
    found = json.loads(next(line for line in run.stdout.splitlines() if line.startswith("{")))
    done = Load(**found, server_seconds=spent)
    if done.not_2xx or done.failed or not done.requests:
        sys.exit(f"/{route}: requests failed: {found}")
    return done


def on_processor(number: int) -> list[str]:
    """The command that starts a program on the first or second processor, if there are two."""
    processors = sorted(os.sched_getaffinity(0))
    return ["taskset", "--cpu-list", str(processors[number])] if len(processors) > 1 else []


def processor_seconds(pid: int) -> float:
    """The CPU time of the process until now, in the kernel too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def show(number: int, loads: Round) -> None:
    for route in ROUTES:
        of = loads[route]
        print(
            f"round {number}  /{route:<7}{of.per_second():>9,.0f} requests/s"
            f"   p50 {of.p50:>5} µs   p99 {of.p99:>6} µs"
            f"   {of.per_processor_second():>9,.0f} of a processor's,"
            f" of which the server had {of.server_share():4.0%}   not 2xx: {of.not_2xx}",
            flush=True,
        )


def show_ratios(loads: list[Round]) -> None:
    for name, of in ratios(loads).items():
        runs = " ".join(f"{value:.2f}" for value in of["runs"])
        print(f"{name:<12}{of['median']:.2f} ({of['min']:.2f}–{of['max']:.2f})   rounds: {runs}")


def ratios(loads: list[Round]) -> dict[str, Figure]:
    """Ratios of the requests per second of CPU time, each within one round."""
    def ratio(of: Round, name: str) -> float:
        one, other = name.split("/")
        return of[one].per_processor_second() / of[other].per_processor_second()

    return {name: figure(ratio(of, name) for of in loads) for name in RATIOS}


def collect(loads: list[Round], load_before: float) -> dict[str, object]:
    def of_routes(value) -> dict[str, Figure]:
        return {route: figure(value(of[route]) for of in loads) for route in ROUTES}

    every = [of for each in loads for of in each.values()]
    return {
        "machine": {
            "processor": figures.processor(),
            "processors": len(os.sched_getaffinity(0)),
            "rustc": figures.rustc(ROOT),
            "load_before": round(load_before, 2),
        },
        "versions": {name: figures.version(ROOT, name) for name in ("axum", "jsonwebtoken")}
        | {"wrk": wrk_version()},
        "connections": CONNECTIONS,
        "seconds": SECONDS,
        "requests": sum(of.requests for of in every),
        "not_2xx_or_failed": sum(of.not_2xx + of.failed for of in every),
        "ratios": ratios(loads),
        "requests_per_second": of_routes(Load.per_second),
        "requests_per_processor_second": of_routes(Load.per_processor_second),
        "server_share": of_routes(Load.server_share),
        "p50_microseconds": of_routes(lambda of: of.p50),
        "p99_microseconds": of_routes(lambda of: of.p99),
    }


def wrk_version() -> str:
    # wrk prints its version with its usage, and fails.
    run = subprocess.run(["wrk", "--version"], stdout=subprocess.PIPE, check=False, text=True)
    found = re.search(r"^wrk (?:debian/)?([0-9.]+)", run.stdout)
    return found[1] if found else "of an unknown version"


def rendered() -> dict[Path, str]:
    found = json.loads(WEB_JSON.read_text(encoding="utf-8"))
    text = section(found)
    return {page: with_section(page, "web", text) for page in (PAGE, GUIDE)}


def section(found: dict[str, object]) -> str:
    versions, machine, ratios = found["versions"], found["machine"], found["ratios"]
    rates, shares = found["requests_per_processor_second"], found["server_share"]
    shares = [share for of in shares.values() for share in of["runs"]]
    rounds = len(ratios["me/open"]["runs"])
    against_open = {"open": "1"} | {
        route: cell(ratios[f"{route}/open"], ".2f") for route in ("me", "decode")
    }
    lines = [
        "| | requests per second | ÷ no authentication |",
        "| --- | :---: | :---: |",
        *(
            f"| {words} | {cell(rates[route], ',.0f')} | {against_open[route]} |"
            for route, words in WORDS.items()
        ),
        "",
        paragraph(
            f"relatch ÷ plain `decode` is {cell(ratios['me/decode'], '.2f')}. Each figure is the"
            f" median of {counted(rounds, 'round', 'rounds')} of {found['seconds']} seconds per route,"
            " in turns and in alternating order; the brackets have the least and the greatest. Of"
            f" {found['requests']:,} requests {found['not_2xx_or_failed']} failed. wrk"
            f" {versions['wrk']} makes the load over {found['connections']} connections on the same"
            f" machine, which has {machine['processors']} processors: the server ran on one, and wrk"
            " on the other. A second is one of the server's CPU time, which was"
            f" {min(shares):.0%} to {max(shares):.0%} of the time that passed. axum {versions['axum']}, jsonwebtoken {versions['jsonwebtoken']} with"
            f" `rust_crypto`, {machine['processor']}, built by rustc {machine['rustc']}."
        ),
        "",
    ]
    return "\n".join(lines)


def cell(of: Figure, form: str) -> str:
    return f"**{of['median']:{form}}** ({of['min']:{form}}–{of['max']:{form}})"


if __name__ == "__main__":
    main()
