"""Text folded at a width: what does not fit goes on below. Nothing is lost, and no word is broken."""

import re
from typing import Final

from amends.coordinator.reading.words import cells

_WORD: Final = re.compile(r"(\s*)(\S+)")
_JOINT: Final = "\0"
_WITH_UNIT: Final = re.compile(r"(?<=[0-9]) (?=(?:ms|s|min|h|d)\b)")
"""Between a number and its unit no line ends."""


def folded(text: str, *, first: str, rest: str, width: int) -> list[str]:
    """The text in lines, `first` before the first of them and `rest` before the others.

    A word that fits nowhere stands alone in its line, which is then longer: an id or a path can still be copied.
    """
    lines: list[str] = []
    line, is_empty = first, True
    for gap, word in _WORD.findall(_WITH_UNIT.sub(_JOINT, text)):
        if is_empty:
            line, is_empty = line + word, False
        elif cells(line) + len(gap) + cells(word) <= width:
            line += " " * len(gap) + word
        else:
            lines.append(line)
            line = rest + word
    return [each.replace(_JOINT, " ").rstrip() for each in (*lines, line)]


def fitting(text: str, *, first: str, rest: str, width: int | None) -> list[str]:
    """The same; without a width it is one line, however long."""
    return [f"{first}{text}".rstrip()] if width is None else folded(text, first=first, rest=rest, width=width)
