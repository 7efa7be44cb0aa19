"""Format 1 of relatch's tokens, written a second time from its description.

It shares no code with the library, so that the two judge each other. Its binding modes are `key`
and `stamp_hs256`. It is made for tests: secrets stay in its memory, so build no service on it.
"""
