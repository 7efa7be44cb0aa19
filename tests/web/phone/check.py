#!/usr/bin/env python3
"""The guide's client for phones against a server whose answers are lost: it is never logged out.

check.py [--seed N] [--steps N]

README.md says what is checked.
"""

import argparse
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from world import Killed, World

sys.path.insert(0, str(Path(__file__).parents[3] / "src/guide/stories"))
sys.dont_write_bytecode = True

import phone  # noqa: E402

PASSWORD = "a horse that staples"
MINUTE, HOUR = 60, 3600
# Steps of one app: it ends before the longest time of a session, a year.
LIFE = 500


class Noticed(Exception):
    """The client lost its session, or the server took it for a thief."""


def play(server, seed, steps, client=phone.Session):
    """Apps in so many steps, each with a session of its own. Returns what happened, or raises `Noticed`."""
    total = Counter()
    for life in range(0, steps, LIFE):
        total.update(play_one(server, f"{seed}/{life}", min(LIFE, steps - life), client))
    return total


def play_one(server, seed, steps, client):
    chance = random.Random(seed)
    random.seed(seed)  # the client's own
    with World(server, chance) as world:
        return live(world, chance, steps, client)


def live(world, chance, steps, client):
    app = client(world.send, world.store, world.wait)
    form = {"username": "ada", "password": PASSWORD}
    if app.log_in("/auth/login", form)[0] != 200:
        sys.exit("the server does not know the user")
    done = {"calls": 0, "outages": 0, "kills": 0}
    for step in range(steps):
        world.wait(chance.choice([1, 30, 5 * MINUTE, 20 * MINUTE, 20 * MINUTE, 20 * HOUR]))
        if world.is_calm and chance.random() < 0.3:
            done["outages"] += 1
            world.begin_outage(chance.choice([20, MINUTE, HOUR, 30 * HOUR]), chance.random() < 0.7)
        elif world.is_calm and chance.random() < 0.3:
            done["kills"] += 1
            world.kill_soon()
        try:
            status, body = app.call("GET", "/api/me")
        except Killed:
            app = client(world.send, world.store, world.wait)
        except phone.LoggedOut:
            raise Noticed(f"step {step}: logged out") from None
        except (phone.Unavailable, OSError):
            if not world.may_fail:
                raise Noticed(f"step {step}: no answer, although the network works") from None
        else:
            if (status, body) != (200, "1"):
                raise Noticed(f"step {step}: {status} {body!r}")
            done["calls"] += 1
            world.calm_down()
    events = world.events()
    if events.get("reuse"):
        raise Noticed("taken for a thief")
    return done | events


# ---- Clients that break a rule of the guide's page --------------------------------------------------


class ForgetsWhenUnavailable(phone.Session):
    """Takes an error of the server for a logout."""

    def exchange(self):
        try:
            super().exchange()
        except phone.Unavailable:
            self.keep({})
            raise


class StoresSometimes(phone.Session):
    """Stores every fourth change."""

    changes = 0

    def keep(self, tokens):
        if self.changes % 4 == 0:
            self.store.save(tokens)
        self.changes += 1
        self.tokens = tokens


class TwoAtOnce(phone.Session):
    """Two parts of the app with a copy of the tokens each: they refresh at once, and then go on."""

    def __init__(self, send, store, wait):
        super().__init__(send, store, wait)
        self.other = None

    def call(self, method, path, form=None):
        mine, self.tokens = self.tokens, self.other or self.tokens
        try:
            return super().call(method, path, form)
        finally:
            self.other, self.tokens = mine, self.tokens


class NoSecondExchange(phone.Session):
    """Leaves the exchange after a late repeat to chance."""

    def keep(self, tokens):
        super().keep(tokens | {"is_repeat": False})


class NeverRepeats(phone.Session):
    """Takes a lost answer for the end."""

    def exchange(self):
        if self.tokens.get("was_sent"):
            raise phone.LoggedOut
        super().exchange()


BROKEN = [ForgetsWhenUnavailable, StoresSometimes, TwoAtOnce, NoSecondExchange, NeverRepeats]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("server", help="the program `relatch-phone`")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    program = subprocess.Popen([given.server], stdout=subprocess.PIPE, text=True)
    try:
        server = int(program.stdout.readline().rsplit(maxsplit=1)[1])
        try:
            done = play(server, given.seed, given.steps)
        except Noticed as fault:
            sys.exit(f"the guide's client: {fault}")
        print("the guide's client:", ", ".join(f"{n} {what}" for what, n in done.items()), flush=True)
        missing = [what for what in ("outages", "kills", "grace_hit", "late_repeat") if not done.get(what)]
        if missing:
            sys.exit(f"the run is too short to mean anything: no {missing}")
        for client in BROKEN:
            try:
                play(server, given.seed, given.steps, client)
            except Noticed as fault:
                print(f"{client.__name__}: {fault}", flush=True)
            else:
                sys.exit(f"{client.__name__} breaks a rule, and nobody noticed")
    finally:
        program.terminate()
        program.wait()


if __name__ == "__main__":
    main()
