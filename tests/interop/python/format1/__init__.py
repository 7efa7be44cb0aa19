"""A second implementation of format 1, written from its description.

It shares no code with the library, so that each checks the other. It has the binding modes `key` and
`stamp_hs256`. It is for tests only: it does not erase secrets from memory.
"""
