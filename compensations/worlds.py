"""Worlds as data, and what differs between two of them: how a rehearsal tells whether an undo brought one back.

A world is what a snapshot holds: mappings, lists, texts, numbers, booleans and null, to any depth.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec
from typing_extensions import TypeIs

DIFFERENCES_MAX: Final = 1_000
"""Of two worlds; what comes behind them is not looked at."""
SHOWN_MAX: Final = 120
"""Characters of a value that are shown."""
NOT_THERE: Final = None

World = Mapping[str, object]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place at which two worlds differ. The values are JSON text; None: it is not there."""

    path: str
    """Dotted, from the outermost name."""
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.path} was {_shown(self.before)}, is {_shown(self.after)}"


def differences(before: World, after: World, *, ignore: Sequence[str] = ()) -> tuple[Difference, ...]:
    """Where two worlds differ, by place. `ignore` holds patterns of paths as in `stock.*.updated_at`."""
    found: list[Difference] = []
    for difference in _compared((), before, after):
        if not any(fnmatchcase(difference.path, pattern) for pattern in ignore):
            found.append(difference)
        if len(found) >= DIFFERENCES_MAX:
            break
    return tuple(found)


def overlap(one: str, other: str) -> bool:
    """Whether one path is the other, or lies above or below it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def touched(paths: Iterable[str], by: Iterable[str]) -> bool:
    """Whether any of these paths overlaps with any of those."""
    others = tuple(by)
    return any(overlap(path, other) for path in paths for other in others)


def _compared(path: tuple[str, ...], before: object, after: object) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _member((*path, str(name)), before, after, name)
    elif _is_list(before) and _is_list(after) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _compared((*path, str(index)), one, other)
    elif type(before) is not type(after) or before != after:
        yield Difference(path=".".join(path), before=_text(before), after=_text(after))


def _member(
    path: tuple[str, ...], before: Mapping[object, object], after: Mapping[object, object], name: object
) -> Iterator[Difference]:
    if name in before and name in after:
        yield from _compared(path, before[name], after[name])
        return
    one = _text(before[name]) if name in before else NOT_THERE
    other = _text(after[name]) if name in after else NOT_THERE
    yield Difference(path=".".join(path), before=one, after=other)


def _is_list(value: object) -> TypeIs[Sequence[object]]:
    return isinstance(value, list | tuple)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _shown(text: str | None) -> str:
    if text is None:
        return "not there"
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"
