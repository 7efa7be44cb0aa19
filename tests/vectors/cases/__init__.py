"""The scenarios of the test vectors, built with ../../interop/python/format1.

The verdict that a token's case expects stands here, written by hand: `format1.py check` and the
library's own tests compare it with what the two implementations say.
"""

from . import derivations, sessions, tokens


def files():
    return {
        "derivations.json": derivations.content(),
        "sessions.json": sessions.content(),
        "tokens.json": tokens.content(),
    }
