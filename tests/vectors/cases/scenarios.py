"""Random scenarios for the exchange between two implementations."""

from format1.claims import MAX_COUNTER, shown
from format1.derivation import rehash, session_tag
from format1.issuing import claims_for, issue, refresh_token
from format1.label import clean
from format1.sessions import sid_of
from format1.table import Table
from format1.text import compact_json, encode
from format1.verdicts import transition

from .common import ACCESS, ADMIN, DAY, MARKS, PARTNER, RESET, ordered

PURPOSES = [ACCESS, RESET, ADMIN, PARTNER]


def random_scenario(choose):
    """A token that must be accepted, or a transition, under inputs that `choose` draws."""
    draw = Draw(choose)
    kinds = [issued_token, issued_token, refresh, refresh, by_access_token]
    return choose.choice(kinds)(draw, draw.inputs())


def issued_token(draw, inputs):
    choose, now = draw.choose, inputs["now"]
    own = {
        "role": draw.text(9),
        f"own {draw.text(9)}": [draw.counter(), {"a": [draw.text(9), None]}],
    }
    audience = choose.choice([None, [draw.text(9), inputs["authority"]["audience"]]])
    session = None
    if inputs["purpose"] == ACCESS and choose.random() < 0.7:
        session = {"sid": sid_of(draw.alive(inputs))}
    exp = now + choose.randint(1, 3600)
    issued = (inputs, now, exp, choose.randbytes(16), audience, own, session)
    expect = {"verdict": "accepted", "claims": shown(claims_for(*issued)), "lookup": True}
    return {**inputs, "token": issue(*issued), "expect": expect}


def refresh(draw, inputs):
    """A refresh with the current token, or with a used one, in time or too late."""
    choose = draw.choose
    session = draw.alive(inputs)
    if session["seq"] and choose.random() < 0.6:
        before = max(session["last_seen"] - choose.randint(0, 99), session["started_at"])
        seq = session["seq"] - choose.choice([1, 1, min(2, session["seq"])])
        token = refresh_token(inputs, {**session, "seq": seq, "last_seen": before})
    else:
        token = refresh_token(inputs, session)
    return acted(inputs, "refresh", token)


def by_access_token(draw, inputs):
    """A restart, or a log-out of the others."""
    choose, now = draw.choose, inputs["now"]
    inputs = {**inputs, "purpose": ACCESS}
    session = {"sid": sid_of(draw.alive(inputs))}
    token = issue(inputs, now, now + 60, choose.randbytes(16), None, None, session)
    return acted(inputs, choose.choice(["restart", "log_out_others"]), token)


def acted(inputs, action, token):
    case = {**inputs, "action": action, "token": token}
    del case["purpose"]
    return {**case, "expect": transition(case)}


class Draw:
    """Draws from `choose`, a source of randomness."""

    def __init__(self, choose):
        self.choose = choose

    def text(self, most):
        alphabet = 'aZ09-_.:@/+ "\\\n\x01\x7féж中🔑'
        return "".join(self.choose.choices(alphabet, k=self.choose.randint(1, most)))

    def counter(self):
        return self.choose.choice([0, 1, self.choose.getrandbits(40), MAX_COUNTER])

    def kinds(self, prefix):
        return [f"{prefix}{i}" for i in range(self.choose.randint(0, 3))]

    def key(self, kid, until):
        master = self.choose.randbytes(self.choose.randint(32, 80)).hex()
        return {"kid": kid, "master": master, "until": until}

    def user_epoch(self, kind):
        instance = self.choose.choice([None, self.text(9)])
        return {"kind": kind, "instance": instance, "counter": self.counter()}

    def policy(self):
        choose = self.choose
        return {
            "max_sessions": choose.randint(1, 64),
            **self.lifetimes(),
            "on_reuse": choose.choice(["session", "all"]),
            "when_full": choose.choice(["evict", "refuse"]),
            "max_data_bytes": choose.randint(0, 512),
            "named": {
                f"policy{i}": self.some(self.lifetimes()) for i in range(choose.randint(0, 3))
            },
        }

    def lifetimes(self):
        choose = self.choose
        return {
            "idle": choose.randint(600, 14 * DAY),
            "absolute": choose.randint(600, 90 * DAY),
            "grace": choose.randint(0, 60),
            "late_repeat": choose.choice([None, choose.randint(1, 120)]),
        }

    def some(self, members):
        return {name: members[name] for name in members if self.choose.random() < 0.7}

    def inputs(self):
        choose = self.choose
        now = choose.randint(100 * DAY, 4_000_000_000)
        secrets = [self.text(60) for _ in range(choose.randint(1, 3))]
        counts = rehash(None, [self.text(9)], secrets)
        void = rehash(None, secrets, [self.text(9) + "?"])
        user_kinds = self.kinds("user")
        return {
            "authority": {
                "issuer": self.text(30),
                "audience": self.text(30),
                "mode": choose.choice(["key", "stamp_hs256"]),
                "leeway": choose.randint(0, 300),
                "max_token_bytes": 4096,
                "keys": [self.key("2026-11", None), self.key("2026-10", now + 1)],
                "epochs": [{"kind": k, "counter": self.counter()} for k in self.kinds("fixed")],
                "user_epochs": user_kinds,
            },
            "purpose": choose.choice(PURPOSES),
            "policy": self.policy(),
            "now": now,
            "context": {self.text(9): self.text(40) for _ in range(choose.randint(0, 3))},
            "record": {
                "id": self.text(40),
                "secrets": secrets,
                "version": self.counter(),
                "active": True,
                "carried": choose.choice([None, counts, void]),
                "epochs": [self.user_epoch(kind) for kind in user_kinds],
                "lane": self.counter(),
            },
        }

    def alive(self, inputs):
        """Gives the record a table, and one of its sessions that is alive."""
        choose, now, policy = self.choose, inputs["now"], inputs["policy"]
        own = choose.randrange(policy["max_sessions"])
        slots = {own, *(choose.randrange(64) for _ in range(choose.randint(0, 9)))}
        generations = choose.sample(range(1, (now + 1) * 1000), len(slots))
        sessions = []
        for slot, generation in zip(slots, generations):
            age = choose.randrange(100)
            seen = now - choose.randint(0, age)
            times = {"started_at": now - age, "last_seen": seen}
            seq = choose.choice([0, 1, choose.getrandbits(40), MAX_COUNTER - 1])
            place = {"slot": slot, "generation": generation, "seq": seq}
            sessions.append(ordered({**place, **times, **self.members(inputs)}))
        generation = max(generations) + choose.randint(0, 5)
        inputs["record"]["sessions"] = Table(generation, sessions).text()
        return next(session for session in sessions if session["slot"] == own)

    def members(self, inputs):
        """The members of a session that its tokens do not show."""
        choose, now = self.choose, inputs["now"]
        own = session_tag(inputs["authority"], inputs["record"])
        members = {
            "ends_at": now + choose.randint(1, 20 * DAY),
            "data": compact_json({self.text(9): [self.text(9), self.counter(), {}]}),
            "policy": choose.choice([*inputs["policy"]["named"], "gone"]),
        }
        mark = choose.choice([{}, {"repeated": True}, {"strict": True}, MARKS])
        tag = choose.choice([own, encode(choose.randbytes(8))])
        return {"tag": tag, "label": clean(self.text(40)), **mark, **self.some(members)}
