"""Text of others, shown to people: it steers no terminal, and a name in it has no lines of its own."""

import re
from typing import Final, TextIO

_CONTROL: Final = re.compile(
    "\x1b\\[(?:0|1|2|31|32|33)m|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Our own styles, and what else a terminal might obey: controls, line breaks, what turns the direction, half a pair."""


def harmless(text: str, stream: TextIO) -> str:
    """What came in with somebody's data must not steer the terminal of whoever looks at it."""
    return _CONTROL.sub(lambda found: found[0] if len(found[0]) > 1 and stream.isatty() else escaped(found[0]), text)


def in_one_line(text: str) -> str:
    """The same of a name, which has no lines and no columns."""
    return "".join(character if character.isprintable() else escaped(character) for character in text)


def escaped(text: str) -> str:
    """As a program would write it: a line break as backslash and n."""
    return text.encode("unicode_escape").decode()
