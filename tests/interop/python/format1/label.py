"""Cleaning of sessions' labels, which come from the client."""

import unicodedata

MAX_LABEL_BYTES = 64

# White_Space of Unicode beyond the control characters.
SPACES = {0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
INVISIBLE = {
    *(0xAD, 0x61C, 0x180E, 0xFEFF),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),
}


def clean(label):
    # Removed first, because they would divide runs of spaces.
    visible = [char for char in label if ord(char) not in INVISIBLE]
    spaced = "".join(" " if is_space(char) else char for char in visible)
    words = " ".join(word for word in spaced.split(" ") if word)
    return cut(words).rstrip(" ")


def is_fit(label):
    """Whether a table may hold it. A stored label is not cleaned again."""
    return len(label.encode()) <= MAX_LABEL_BYTES and not any(map(is_control, label))


def is_space(char):
    return ord(char) in SPACES or is_control(char)


def is_control(char):
    return unicodedata.category(char) == "Cc"


def cut(text):
    # Ignores the rest of a character that was cut in two.
    return text.encode()[:MAX_LABEL_BYTES].decode(errors="ignore")
