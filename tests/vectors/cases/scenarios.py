"""Random scenarios."""

from format1.claims import MAX_COUNTER, shown
from format1.derivation import rehash
from format1.issuing import claims_for, issue

from .common import ACCESS, ADMIN, RESET

PURPOSES = [ACCESS, RESET, ADMIN]


def random_scenario(choose):
    """A token that is to be accepted, under inputs that `choose` draws."""

    def text(most):
        alphabet = 'aZ09-_.:@/+ "\\\n\x01\x7féж中🔑'
        return "".join(choose.choices(alphabet, k=choose.randint(1, most)))

    def counter():
        return choose.choice([0, 1, choose.getrandbits(40), MAX_COUNTER])

    def kinds(prefix):
        return [f"{prefix}{i}" for i in range(choose.randint(0, 3))]

    def key(kid, until):
        master = choose.randbytes(choose.randint(32, 80)).hex()
        return {"kid": kid, "master": master, "until": until}

    def user_epoch(kind):
        instance = choose.choice([None, text(9)])
        return {"kind": kind, "instance": instance, "counter": counter()}

    now = choose.randint(0, 4_000_000_000)
    secrets = [text(60) for _ in range(choose.randint(1, 3))]
    counts, void = rehash(None, [text(9)], secrets), rehash(None, secrets, [text(9) + "?"])
    user_kinds = kinds("user")
    inputs = {
        "authority": {
            "issuer": text(30),
            "audience": text(30),
            "mode": choose.choice(["key", "stamp_hs256"]),
            "leeway": choose.randint(0, 300),
            "max_token_bytes": 4096,
            "keys": [key("2026-11", None), key("2026-10", now + 1)],
            "epochs": [{"kind": kind, "counter": counter()} for kind in kinds("fixed")],
            "user_epochs": user_kinds,
        },
        "purpose": choose.choice(PURPOSES),
        "now": now,
        "context": {text(9): text(40) for _ in range(choose.randint(0, 3))},
        "record": {
            "id": text(40),
            "secrets": secrets,
            "version": counter(),
            "active": True,
            "carried": choose.choice([None, counts, void]),
            "epochs": [user_epoch(kind) for kind in user_kinds],
            "lane": counter(),
        },
    }
    own = {"role": text(9), f"own {text(9)}": [counter(), {"deep": [text(9), True, None]}]}
    audience = choose.choice([None, [text(9), inputs["authority"]["audience"]]])
    exp = now + choose.randint(1, 3600)
    issued = (inputs, now, exp, choose.randbytes(16), audience, own)
    expect = {"verdict": "accepted", "claims": shown(claims_for(*issued)), "lookup": True}
    return {**inputs, "token": issue(*issued), "expect": expect}
