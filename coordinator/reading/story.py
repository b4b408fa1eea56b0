"""A run as a narrative for people (contract, section 7): what was tried, what came of it, what is left in the world.

One line a step and one an undo, at the moment it was first requested; what people and crashes did stands between them.
Where a run took longer than a day, each day stands above its lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import waited_for
from amends.coordinator.reading.endings import ending
from amends.coordinator.reading.folding import fitting, folded
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.telling import Line, Telling
from amends.coordinator.reading.times import clock, day, took
from amends.coordinator.reading.words import PLACE_WIDTH, STATUS_SYMBOLS, cells, cells_at_most, label_of, padded

_GAP: Final = 3
_UNDO_GAP: Final = 2
_NAME_MAX: Final = 24
"""A longer name stands alone in its line, where the width is bounded."""

_COMMAND: Final = ": amends "
"""A sentence that ends with a command is not folded: it is there to be copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    name: int
    said: int
    place: int
    width: int | None


def story(
    moments: Sequence[Moment], plan: Plan | None, waiting_for: str | None = None, *, width: int | None = None
) -> str:
    """Tell a run's whole history. `plan` gives keys and dependencies their names.

    `waiting_for` is what the run's row says, which also knows of a handler that no worker has. With a `width`, a
    terminal's, what is longer goes on below in its column; without one everything is told in one line.
    """
    state = moments[-1].state
    plan = plan.of(state) if plan is not None else None
    telling = Telling(plan)
    for moment in moments:
        telling.take(moment)
    if waiting_for is None and plan is not None:
        waiting_for = waited_for(plan, state)
    lines = sorted(telling.lines, key=lambda line: line.at)  # stable: what is told first stays first
    told = [*fitting(_head(state, plan, waiting_for), first="", rest="  ", width=width), *_by_day(lines, width)]
    for each in ending(state, plan, waiting_for):
        told += fitting(each, first="  ", rest="  ", width=None if _COMMAND in each else width)
    return "\n".join(told) + "\n"


def _by_day(lines: Sequence[Line], width: int | None) -> Iterator[str]:
    """Each line; where there are several days, below its own."""
    columns = _columns(lines, width)
    days = [(which, list(group)) for which, group in groupby(lines, key=lambda line: day(line.at))]
    for which, group in days:
        if len(days) > 1:
            yield f"  {which}"
        for line in group:
            yield from _text(line, columns)


def _head(state: State, plan: Plan | None, waiting_for: str | None) -> str:
    trigger = plan.form.trigger if plan else None
    label = label_of(trigger.business_key if trigger else None, "key")
    about = "" if state.business_key == state.saga_id else f" · {label} {state.business_key}"
    if state.ended_at is not None:
        when = f" in {took(state.ended_at - state.started_at)}"
    else:
        resting = waiting_for is not None or state.status in {"parked", "queued"}
        when = "" if resting else f" for {took(state.at - state.running_since)}"
    status = state.status if waiting_for is None else "waiting"
    return f"{state.saga} v{state.definition_version}{about} · {STATUS_SYMBOLS[status]} {status}{when}"


def _columns(lines: Sequence[Line], width: int | None) -> _Columns:
    """How wide names, what came of them and places are; where that is too much, places no wider than they must be."""
    names = [len(line.name) for line in lines if width is None or len(line.name) <= _NAME_MAX]
    said = max((cells_at_most(line.said) for line in lines if line.place), default=0)
    columns = _Columns(name=max(names, default=0), said=said, place=PLACE_WIDTH, width=width)
    if width is None or all(cells(_whole(line, columns)) <= width for line in lines if line.evidence):
        return columns
    place = max((cells_at_most(line.place) for line in lines), default=0) + _GAP
    return _Columns(name=columns.name, said=said, place=min(place, PLACE_WIDTH), width=width)


def _text(line: Line, columns: _Columns) -> list[str]:
    """One line; or several, each below where it began."""
    whole = _whole(line, columns)
    if columns.width is None or (cells(whole) <= columns.width and len(line.name) <= columns.name):
        return [whole]
    first, lines = _start(line, columns), list[str]()
    rest = " " * cells(_start(Line(at=line.at, name="", undo=line.undo), columns))
    if len(line.name) > columns.name:
        lines, first = [first.rstrip()], rest
    lines += folded(line.said, first=first, rest=rest, width=columns.width)
    for more in (line.place, f"evidence {line.evidence}" if line.evidence else ""):
        if more and cells(lines[-1]) + _GAP + cells(more) <= columns.width:
            lines[-1] += " " * _GAP + more
        elif more:
            lines += folded(more, first=rest, rest=rest, width=columns.width)
    return lines


def _whole(line: Line, columns: _Columns) -> str:
    said = line.said
    if line.place:
        said = padded(said, columns.said) + " " * _GAP + line.place
    if line.evidence:
        said = padded(said, columns.said + _GAP + columns.place, gap=2) + f"evidence {line.evidence}"
    return f"{_start(line, columns)}{said}".rstrip()


def _start(line: Line, columns: _Columns) -> str:
    name = f"  ↩ {line.name.ljust(columns.name + _UNDO_GAP)}" if line.undo else line.name.ljust(columns.name + _GAP)
    return f"  {clock(line.at)}  {name}"
