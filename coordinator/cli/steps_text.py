"""The steps of a run as a table: what is done, what is pending, and what of it is undone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from amends.coordinator.cli.laying_out import ALIKE_MAX, Items, any_item, called, wrapped
from amends.coordinator.cli.output import columns
from amends.coordinator.reading.words import WITHDRAWN, counted

Facts = dict[str, Any]
_Row = tuple[str, str, str, str, str]
"""Path, kind, status, undo, and what its failure said."""

_MARKS: Final = {
    "done": "✔",
    "failed": "✖",
    "in_doubt": "?",
    "ended": "?",
    "tombstone": "?",
    "waiting": "⏸",
    "answer_awaited": "⏸",
    "skipped": "·",
    "pending": "·",
    "absent": "·",
}
_HEADS: Final = ("step", "kind", "status", "undo")
_UNDONE: Final = {
    "readback": "undone, verified",
    "lookup": "undone, verified by lookup",
    "reply": "undone, by its reply",
    "person": "done by hand",
}
_WORDS: Final = {
    "requested": "under way",
    "answer_awaited": "taken on, answer awaited",
    "retrying": "to be tried again",
    "verifying": "done by its reply, not yet seen",
    "ended": "ended, in doubt",
    "absent": "had no effect",
    "tombstone": "in doubt, its undo settles it",
}


def steps_text(steps: Sequence[Facts], *, ended: bool, items: Items) -> list[str]:
    """One line a step, where many items are alike one for all of them; below it what its failure said."""
    rows = [(called(path, items), *said) for path, *said in _together(_row(step, ended=ended) for step in steps)]
    shown = len(_HEADS) if any(undo for _, _, _, undo, _ in rows) else len(_HEADS) - 1
    head, *lines = columns([row[:shown] for row in rows], heads=_HEADS[:shown], indent="  ").split("\n")
    found = [head]
    for row, line in zip(rows, lines, strict=True):
        found.append(line)
        if row[4]:
            found += wrapped(row[4], first="      ", rest="      ")
    return found


def _row(step: Facts, *, ended: bool) -> _Row:
    failure, undo, status = step["failure"], step["undo"], _status(step, ended=ended)
    if failure is None:
        said = ""
    elif failure.kind == "in_doubt" or _is_withdrawn(step):
        said = failure.message
    else:
        said = f"{failure.kind}: {failure.message}"
    return step["path"], step["kind"] or "", status, _undo(undo), said


def _together(rows: Iterable[_Row]) -> list[_Row]:
    """Items of one step of which the same is to be said, as one row with their number, at the first one's place."""
    groups: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row in rows:
        groups[any_item(row[0]), *row[1:]].append(row)
    found: list[_Row] = []
    for (path, kind, status, undo, said), group in groups.items():
        if len(group) > ALIKE_MAX and path != group[0][0]:
            found.append((path, kind, f"{status}: {counted(len(group), 'item')}", undo, said))
        else:
            found += group
    return found


def _status(step: Facts, *, ended: bool) -> str:
    status = step["status"]
    if ended and status == "repeating":
        return "· not finished"
    attempts = f", {counted(step['attempts'], 'attempt')}" if step["attempts"] > 1 else ""
    if _is_withdrawn(step):
        return f"{WITHDRAWN} withdrawn{attempts}"
    word = "not reached" if ended and status == "pending" else _word(status)
    return f"{_MARKS.get(status, '▸')} {word}{attempts}"


def _is_withdrawn(step: Facts) -> bool:
    """Nothing was done for it, or what was read is not needed: it has not failed."""
    return step["status"] == "failed" and step["failure"] is not None and step["failure"].kind == "withdrawn"


def _undo(undo: Facts | None) -> str:
    if undo is None or undo["status"] == "pending":
        return ""
    attempts = f", {counted(undo['attempts'], 'attempt')}" if undo["attempts"] > 1 else ""
    if undo["status"] == "skipped":
        return "left in the world"
    said = _UNDONE[undo["verified_by"]] if undo["verified_by"] else _word(undo["status"])
    return f"↩ {said}{attempts}"


def _word(status: str) -> str:
    return _WORDS.get(status, status.replace("_", " "))
