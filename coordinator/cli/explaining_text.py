"""An explanation as text: what the run waits for, what must be undone, what may be tried again and wished."""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from amends.coordinator.cli.laying_out import UNDO, alike, brief, called, command_lines, listed, wrapped
from amends.coordinator.cli.output import toned
from amends.coordinator.reading.explanation import Approved, Explanation, RetryVerdict, Undoing, UndoPhase, Waited
from amends.coordinator.reading.times import short, took
from amends.coordinator.reading.words import UNDONE, counted
from amends.schemas.instants import SECOND, Instant, instant_of

_THE_RUN: Final = "the run"
_OF_A_KIND_MAX: Final = 4
"""Commands that are written out: of a thousand items each is a savepoint."""
_TIMED: Final = frozenset({"retry", "round", "instant", "pause", "verification"})
"""What comes by itself."""

Row = tuple[str, str, str]

_UNDO_HEADS: Final[dict[UndoPhase, str]] = {
    "if_it_turns_back": "would be undone if it turned back now, in this order",
    "draining": "will be undone once all that was sent is settled, in this order",
    "compensating": "must be undone, in this order",
}
_NOT_UNDONE: Final[dict[UndoPhase, str]] = {
    "past_the_pivot": "its pivot is passed",
    "all_done": "everything is done",
}
_MARKS: Final = {"done": "✔", "failed": "✖", "in_doubt": "?", "ended": "?", "skipped": "·", "idle": "·"}
_UNDO_SAID: Final = {
    "requested": "under way",
    "pending": "taken on, answer awaited",
    "retrying": "to be tried again",
    "in_doubt": "in doubt",
    "ended": "in doubt",
    "verifying": "undone by its reply, not yet seen",
    "failed": "failed",
    "absent": "to be tried again",
    "skipped": "left in the world by a person's decision",
}
AGO_FROM: Final = 60 * SECOND
"""Since when is told as an age as well; before, the clock says it."""
_MAY: Final = {"yes": "yes", "person": "by a person", "no": "no"}


def waits_text(told: Explanation) -> list[str]:
    """What the run waits for, until when, and what then."""
    now = instant_of(told.at)
    rows = _rows(told, (("", _named(each.path, each.direction) or _THE_RUN, _waited(each, now)) for each in told.waits))
    if told.turns_back_at is not None:
        then = "it turns back" if told.undo.savepoint is None else "all of it is undone"
        rows.append(("", _THE_RUN, f"its deadline at {_at(told.turns_back_at, now)}; then {then}"))
    return _section("waits for", listed(rows)) if rows else []


def undo_text(told: Explanation) -> list[str]:
    """What must be undone, and what would stay."""
    lines: list[str] = []
    order = told.undo
    if order.phase in _NOT_UNDONE:
        lines += ["", f"  {_NOT_UNDONE[order.phase]}: nothing is undone any more"]
    if order.steps:
        then = "" if order.savepoint is None else f"; then it goes forward from {order.savepoint}"
        lines += _section(_UNDO_HEADS[order.phase] + then, listed(_rows(told, map(_undo, order.steps))))
    if order.stays:
        rows = _rows(told, (("", each.step, each.why) for each in order.stays))
        over = not told.pending and order.phase in {"none", "left"}
        lines += _section("left in the world" if over else "would stay in the world", listed(rows))
    return lines


def retries_text(told: Explanation) -> list[str]:
    """What may be tried again."""
    rows = _rows(told, (("", _named(each.path, each.direction), _tried(each)) for each in told.retries))
    return _section("may be tried again", listed(rows)) if rows else []


def approved_text(told: Explanation) -> list[str]:
    """Locks, messages and decisions, each with who gave it."""
    now = instant_of(told.at)
    rows = [("", short(instant_of(each.at), now), _given(each)) for each in told.approved]
    return _section("approved", listed(rows)) if rows else []


def commands_text(told: Explanation, *, indent: str = "    ") -> list[str]:
    """Each command as it is written, below what it does."""
    lines: list[str] = []
    for _, group in groupby(told.commands, key=lambda each: each.request):
        commands = list(group)
        for each in commands[:_OF_A_KIND_MAX]:
            lines += wrapped(each.meaning, first=indent, rest=indent)
            lines += command_lines(each.command, indent=indent + "  ")
        more = len(commands) - _OF_A_KIND_MAX
        if more > 0:
            lines += wrapped(f"and {more} more, which stand in -o json", first=indent, rest=indent)
    return _section("a person may say now", lines) if lines else []


def _section(head: str, lines: list[str]) -> list[str]:
    return ["", "  " + toned("bold", head), *lines]


def _rows(told: Explanation, rows: Iterable[Row]) -> list[Row]:
    """Many items of which the same is to be said as one, each of the others with what it is called."""
    return [(mark, called(name, told.items), said) for mark, name, said in alike(rows)]


def _named(path: str | None, direction: str | None) -> str:
    return f"{UNDO}{path}" if direction == "undo" else path or ""


def _waited(each: Waited, now: Instant) -> str:
    if each.kind in _TIMED and each.until is not None:
        return f"{each.what} at {_at(each.until, now)}"
    parts = [each.what]
    if each.before:
        parts.append(f"{counted(each.before, 'run')} before it")
    if each.since is not None:
        since = instant_of(each.since)
        ago = f", {took(now - since)} ago" if now - since >= AGO_FROM else ""
        parts.append(f"since {short(since, now)}{ago}")
    if each.until is not None:
        parts.append(f"until {_at(each.until, now)}")
    said = ", ".join(parts)
    if each.then is not None:
        said += f"; then {each.then}"
    return f"{said}; see: {brief(each.see)}" if each.see is not None else said


def _at(text: str, now: Instant) -> str:
    at = instant_of(text)
    if at < now:
        return f"{short(at, now)}, which is {took(now - at)} ago: does a worker run?"
    return f"{short(at, now)} (in {took(at - now)})"


def _undo(each: Undoing) -> Row:
    said = UNDONE[each.verified_by] if each.verified_by is not None else _UNDO_SAID.get(each.status, "")
    parts = [said] if said else []
    if each.status not in {"done", "skipped"}:
        parts.append(
            "read back by " + str(each.readback) if each.verified == "readback" else "its reply is the only evidence"
        )
        if not each.certain:
            parts.append("if it happened, which is not known yet")
        if each.follow_up:
            parts.append("a follow-up: it makes good, it reverses nothing")
    return _MARKS.get(each.status, "▸"), each.path, "; ".join(parts)


def _tried(each: RetryVerdict) -> str:
    used = f", {each.attempts} of {counted(each.attempts_max, 'attempt')} used" if each.attempts else ""
    return f"{_MAY[each.may]}{used}: {each.why}"


def _given(each: Approved) -> str:
    if each.kind == "locks":
        return f"locks {each.what}"
    about = f" for {each.step}" if each.step else ""
    if each.kind == "message":
        return f"message {each.what}{about}, from {each.actor}"
    why = each.reason or each.evidence
    return f"{each.actor} decided{about}: {each.what}" + (f" ({why})" if why else "")
