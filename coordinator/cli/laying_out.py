"""Text for people at the width of a terminal: lists whose last column is wrapped, many alike shown as one."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from amends.coordinator.cli.harmless import in_one_line
from amends.coordinator.cli.output import WIDTH, cells, room, shortened
from amends.coordinator.reading.folding import folded
from amends.coordinator.reading.times import clock_or_day, day_and_clock
from amends.coordinator.reading.words import counted
from amends.schemas.instants import Instant

Items = Mapping[str, Sequence[str]]
"""What the items of each list are called, by the path of the step that is done for each of them."""

UNDO: Final = "↩ "
"""Before the path of a step whose undo is meant."""
ROOMY: Final = 120
"""A terminal of so many columns has room for both the day and the time of each line of a list."""
ALIKE_MAX: Final = 3
"""More items of one step of which the same is to be said are one line."""

_ITEM: Final = re.compile(r"\[[^\]]*\]")
_PLACE: Final = re.compile(r"\[([0-9]+)\]")
_WORD: Final = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_RUN: Final = 3
_ABOUT_A_RUN: Final = frozenset({"runs", "parked", "audit"})
"""Groups of commands that name a run after their own name."""


def listed_at(instant: Instant, now: Instant) -> str:
    """When, in a list; on a narrow terminal the clock today, else the day."""
    width = room(sys.stdout)
    return clock_or_day(instant, now) if width is not None and width < ROOMY else day_and_clock(instant)


def wrapped(text: str, *, first: str, rest: str) -> list[str]:
    """The text in lines that fit, `first` before the first of them and `rest` before the others."""
    return folded(text, first=first, rest=rest, width=WIDTH)


def listed(rows: Sequence[tuple[str, str, str]], *, indent: str = "    ") -> list[str]:
    """Rows of a mark, a name and what is said of it, in columns."""
    width = max((cells(name) for _, name, _ in rows), default=0)
    mark = max((cells(mark) for mark, _, _ in rows), default=0)
    lines: list[str] = []
    for sign, name, said in rows:
        start = indent + (sign + " " * (mark - cells(sign)) + " " if mark else "")
        start += name + " " * (width - cells(name)) + "  "
        lines += wrapped(said, first=start, rest=" " * cells(start))
    return lines


def alike(rows: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The same rows, items of one step of which the same is said in one, where they are many."""
    found: list[tuple[str, str, str]] = []
    for (sign, name, said), group in groupby(rows, key=lambda row: (row[0], any_item(row[1]), row[2])):
        items = list(group)
        if len(items) > ALIKE_MAX and name != items[0][1]:
            found.append((sign, name, f"{counted(len(items), 'item')}: {said}"))
        else:
            found += items
    return found


def any_item(path: str) -> str:
    """`ship[2]/book` as `ship[…]/book`."""
    return _ITEM.sub("[…]", path)


def called(path: str, items: Items) -> str:
    """`ship[2]/book` with what the item is called, `ship[2]/book (tea)`; a round has no name."""
    names = [
        keys[int(found[1])]
        for found in _PLACE.finditer(path)
        if (keys := items.get(path[: found.start()].removeprefix(UNDO))) and int(found[1]) < len(keys)
    ]
    return f"{path} ({', '.join(map(in_one_line, names))})" if names else path


def command_lines(command: str, *, indent: str) -> list[str]:
    """A command to copy. One that is too long goes on below, as a shell reads it; its run is named as lists do."""
    lines, current = [], indent
    for word in _with_values(_WORD.findall(brief(command))):
        if cells(current) + cells(word) + len(" \\") > WIDTH and current.strip():
            lines.append(f"{current.rstrip()} \\")
            current = f"{indent}  "
        current += f"{word} "
    return [*lines, current.rstrip()]


def brief(command: str) -> str:
    """The command with as much of its run's id as names it."""
    words = _WORD.findall(command)
    if len(words) > _RUN and words[1] in _ABOUT_A_RUN:
        words[_RUN] = shortened(words[_RUN])
    return " ".join(words)


def _with_values(words: list[str]) -> list[str]:
    """An option stays with its value."""
    found: list[str] = []
    for word in words:
        if found and found[-1].startswith("--") and " " not in found[-1] and not word.startswith("--"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found
