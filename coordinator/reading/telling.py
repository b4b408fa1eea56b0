"""Events into lines of a story: each event changes the line of its step or undo, or adds one of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from amends.coordinator.core.plan import Plan
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.parking import told_of
from amends.coordinator.reading.times import clock, day, day_and_clock, short, took
from amends.coordinator.reading.undoing import follows_up
from amends.coordinator.reading.words import UNDONE, WITHDRAWN, counted, label_of
from amends.schemas import events as e
from amends.schemas.entry import Entry
from amends.schemas.events import Event
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant, instant_of


@dataclass(slots=True, kw_only=True)
class Line:
    """One line in the making. `said` is what came of it so far."""

    at: Instant
    name: str
    said: str = ""
    place: str = ""
    evidence: str = ""
    undo: bool = False
    requests: int = 0
    requested_at: Instant = 0
    evidence_rank: int = -1
    external_id: str | None = None
    settled: str = ""
    """What ended a doubt about it; said to the end, also where a read-back follows."""


_RANKS: Final = {"step": 0, "undo": 0, "lookup": 1, "verify": 2}
"""A read-back is better evidence than a lookup, that than the participant's own reply."""

_KEYS_TOLD: Final = 5
"""Of a list's items."""
_AGAIN: Final = " · again at "


class Telling:
    """Takes a run's entries in order."""

    def __init__(self, plan: Plan | None) -> None:
        self.lines: list[Line] = []
        self._plan = plan
        self._open: dict[tuple[str, Direction], Line] = {}
        self._entry: Entry
        self._at: Instant = 0
        self._queue: Line | None = None

    def take(self, moment: Moment) -> None:
        """Tell one entry."""
        self._entry, self._at = moment.entry, instant_of(moment.entry.at)
        for index, event in enumerate(moment.entry.events):
            tell = self._TOLD.get(type(event))
            if isinstance(event, e.EvidenceRecorded):
                self._evidence(event, index)
            elif tell is not None:
                tell(self, event)

    def _line(self, path: str, direction: Direction) -> Line:
        """The line of an effect, made at its first mention and anew after a person sent it on."""
        found = self._open.get((path, direction))
        if found is None:
            found = Line(at=self._at, name=path, undo=direction == "undo", requested_at=self._at)
            self._open[path, direction] = found
            self.lines.append(found)
        return found

    def _event(self, name: str, said: str) -> None:
        self.lines.append(Line(at=self._at, name=name, said=said))

    def _started(self, event: e.SagaStarted) -> None:
        label = label_of(self._plan.form.trigger.idempotency_key if self._plan else None, "request")
        origin = event.origin
        place = f"{origin.topic} {origin.partition}@{origin.offset}, " if origin else ""
        again = f", generation {event.generation}" if event.generation else ""
        self._event("trigger", f"{place}{label} {event.idempotency_key}{again}")

    def _rerun(self, event: e.RerunStarted) -> None:
        self._event("rerun", f"▸ by {self._entry.actor}, of run {event.former}: {event.reason}")

    def _queued(self, event: e.LocksRequested) -> None:
        self._event("locks", f"⏸ waits for {', '.join(event.keys)}")
        self._queue = self.lines[-1]

    def _locked(self, event: e.LocksTaken) -> None:
        if self._queue is not None:
            self._queue.said = f"✔ {', '.join(event.keys)}, after {took(self._at - self._queue.at)}"

    def _unlocked(self, event: e.LockReleased) -> None:
        self._event("lock", f"{self._entry.actor} took {event.key} away: {event.reason}")

    def _requested(self, event: e.StepRequested | e.UndoRequested) -> None:
        line = self._line(event.path, "forward" if isinstance(event, e.StepRequested) else "undo")
        if line.requests == 0:
            line.at = self._at
        line.requests += 1
        line.requested_at = self._at
        line.said = f"▸ attempt {line.requests} under way" if line.requests > 1 else "▸ under way"
        line.place = ""

    def _succeeded(self, event: e.StepSucceeded) -> None:
        line = self._line(event.path, "forward")
        line.external_id = event.external_id or line.external_id
        line.settled = ""
        self._done(line, event.path, "" if not event.readback else "not verified yet")

    def _done(self, line: Line, path: str, remark: str = "") -> None:
        line.said = f"✔ {took(self._at - line.requested_at)}{_tries(line)}"
        place = self._place(path, line.external_id)
        line.place = ", ".join(each for each in (place, remark) if each)

    def _place(self, path: str, external_id: str | None) -> str:
        step = self._plan.steps.get(path) if self._plan else None
        where = (step.dependency or ("" if step.acts else step.kind)) if step else ""
        return f"{where} → {external_id}".strip() if external_id else where

    def _planned(self, event: e.FanOutPlanned) -> None:
        line = self._line(event.path, "forward")
        line.said = f"▸ {counted(len(event.keys), 'item')}: {', '.join(event.keys[:_KEYS_TOLD])}" + (
            " …" if len(event.keys) > _KEYS_TOLD else ""
        )

    def _fan_ended(self, event: e.FanOutEnded) -> None:
        line = self._line(event.path, "forward")
        left_out = f", without {counted(len(event.failed), 'item')} that failed" if event.failed else ""
        line.said = f"✔ {took(self._at - line.requested_at)}{left_out}"

    def _round(self, event: e.RoundPlanned) -> None:
        line = self._line(event.path, "forward")
        later = f"{_AGAIN}{_later(line, event.due_at)}" if instant_of(event.due_at) > self._at else ""
        line.said = f"▸ round {event.round + 1}{later}"

    def _loop_ended(self, event: e.LoopEnded) -> None:
        line = self._line(event.path, "forward")
        not_met = "" if event.met else ", its condition not met"
        line.said = f"✔ {took(self._at - line.requested_at)}, {counted(event.rounds, 'round')}{not_met}"

    def _verified(self, event: e.StepVerified) -> None:
        line = self._line(event.path, "forward")
        remark = "done by hand" if event.by == "person" else line.settled
        if event.by == "person" or line.said[:1] != "✔":
            line.said = "✔ done"
        line.place = ", ".join(each for each in (self._place(event.path, line.external_id), remark) if each)

    def _checked(self, event: e.ExpectationChecked) -> None:
        line = self._line(event.path, "forward")
        why = f": {event.message}" if event.message else ""
        line.said = f"{'✔ as expected' if event.held else '✖ not as expected'}{why}{_tries(line)}"

    def _amended(self, event: e.OutcomeAmended) -> None:
        what = event.path if event.direction == "forward" else f"the undo of {event.path}"
        why = f": {event.message}" if event.message else ""
        self._event(
            "read back", f"{'✔' if event.held else '✖'} {what} {'stands' if event.held else 'does not stand'}{why}"
        )

    def _failed(self, event: e.StepFailed | e.UndoFailed) -> None:
        line = self._line(event.path, "forward" if isinstance(event, e.StepFailed) else "undo")
        mark = WITHDRAWN if event.kind == "withdrawn" else "✖"
        line.said, line.place = f"{mark} {event.kind}{_tries(line)}: {event.message}", ""

    def _in_doubt(self, event: e.StepInDoubt) -> None:
        line = self._line(event.path, event.direction)
        line.said, line.place = f"? {_kinds('in doubt', event.reason)}{_tries(line)}: {event.message}", ""

    def _settled(self, event: e.StepSettled) -> None:
        line = self._line(event.path, event.direction)
        line.external_id = event.external_id or line.external_id
        if event.state == "present":
            line.settled = f"settled by {event.by}"
            self._done(line, event.path, line.settled)
        elif event.state == "absent":
            line.said, line.place = f"✖ settled by {event.by}: it had no effect", ""
        elif event.state == "tombstone":
            line.said, line.place = "? in doubt, settled by its undo", ""
        else:
            line.said, line.place = f"? {event.kind or 'ended'}: {event.message or 'what it did is not known'}", ""

    def _skipped(self, event: e.StepSkipped) -> None:
        self._line(event.path, "forward").said = f"· skipped: {event.because}"

    def _waits(self, event: e.WaitStarted) -> None:
        line = self._line(event.path, "forward")
        line.requested_at = self._at
        what = f" for message {event.message_type} of {event.correlation}" if event.correlation is not None else ""
        line.said = f"… waits{what} until {_until(line, event.due_at)}"

    def _received(self, event: e.MessageReceived) -> None:
        self._line(event.path, "forward").external_id = event.message_id

    def _pends(self, event: e.StepPending) -> None:
        line = self._line(event.path, event.direction)
        line.external_id = event.external_id or line.external_id
        line.said = f"… asked for, an answer for {event.correlation} is awaited until {_until(line, event.timeout_at)}"

    def _retry(self, event: e.RetryScheduled) -> None:
        line = self._open.get((event.path, event.direction))
        if line is not None and line.said[:1] in {"✖", WITHDRAWN, "?"}:
            line.said = f"{line.said.partition(_AGAIN)[0]}{_AGAIN}{_later(line, event.due_at)}"

    def _raised(self, event: e.GenerationRaised) -> None:
        if event.why == "person":
            self._open.pop((event.path, event.direction), None)

    def _drain(self, event: e.DrainStarted) -> None:
        self._nothing_again()
        if event.cause == "failed":
            return
        reason = f": {event.reason}" if event.reason else ""
        by = f" by {self._entry.actor}" if event.cause in {"cancelled", "rejected"} else ""
        self._event(event.cause, f"↩ turning back{by}{reason}")

    def _undo_succeeded(self, event: e.UndoSucceeded) -> None:
        self._line(event.path, "undo").said = "✔ undone, not verified yet"

    def _undo_verified(self, event: e.UndoVerified) -> None:
        line = self._line(event.path, "undo")
        said = f"done by hand by {self._entry.actor}" if event.by == "person" else UNDONE[event.by]
        if follows_up(self._plan, event.path):
            said = said.replace("undone", "followed up", 1)
        line.said = f"✔ {said}{_tries(line)}"

    def _nothing_again(self) -> None:
        """What was to be tried again is not, for now."""
        for line in self._open.values():
            line.said = line.said.partition(_AGAIN)[0]

    def _parked(self, event: e.SagaParked) -> None:
        self._nothing_again()
        self._event("parked", "‖ " + _kinds(f"at {event.step or 'no step'}", event.kind) + f": {event.why}")

    def _resolved(self, event: e.ParkingResolved) -> None:
        said = f"{self._entry.actor} decided for {event.step}: {told_of(event.resolution)}"
        why = event.reason or event.evidence
        self._event("resolved", said + (f" ({why})" if why else ""))
        if event.resolution == "skip":
            self._line(event.step, "undo").said = "· left in the world"

    def _savepoint_chosen(self, event: e.SavepointChosen) -> None:
        self._event("resolved", f"{self._entry.actor} decided: undo to {event.step}, and go forward ({event.reason})")

    def _savepoint_reached(self, event: e.SavepointReached) -> None:
        self._event("resumed", f"▸ forward again from {event.step}")

    def _resumed(self, event: e.RunResumed) -> None:
        if event.why == "pivot_passed":
            self._event("resumed", "▸ forward again: the pivot did pass")
        elif not event.clean:
            self._event(
                "resumed", "▸ its worker died, another goes on" + (", with this run alone" if event.alone else "")
            )

    def _killed(self, event: e.SagaKilled) -> None:
        self._nothing_again()
        self._event("killed", f"■ by {self._entry.actor}: {event.reason}")

    def _late(self, event: e.LateReplyRecorded) -> None:
        self._event("late reply", f"! of {event.path}, after the end: {event.answer}")

    def _limit(self, event: e.LimitReached) -> None:
        self._event("limit", f"! {event.used} of {event.allowed} {event.limit}")

    def _denied(self, event: e.PermissionDenied) -> None:
        self._event("denied", f"! {event.path}: {event.action} on {event.tool}: {event.why}")

    def _checkpoint(self, event: e.CheckpointRecorded) -> None:
        where = event.path if event.role == "step" else f"{event.path}, {event.role}"
        self._event("checkpoint", f"· {event.name}, in {where}")

    def _evidence(self, event: e.EvidenceRecorded, index: int) -> None:
        line = self._open.get((event.path, event.direction))
        if line is None or line.undo:
            return
        rank = _RANKS[event.role]
        if rank >= line.evidence_rank:
            line.evidence_rank = rank
            line.evidence = f"{self._entry.version}.{index}"

    _TOLD: ClassVar[dict[type[Event], Callable[["Telling", Any], None]]] = {
        e.SagaStarted: _started,
        e.RerunStarted: _rerun,
        e.LocksRequested: _queued,
        e.LocksTaken: _locked,
        e.LockReleased: _unlocked,
        e.StepRequested: _requested,
        e.StepSucceeded: _succeeded,
        e.StepFailed: _failed,
        e.StepInDoubt: _in_doubt,
        e.StepSettled: _settled,
        e.StepSkipped: _skipped,
        e.WaitStarted: _waits,
        e.MessageReceived: _received,
        e.StepPending: _pends,
        e.StepVerified: _verified,
        e.ExpectationChecked: _checked,
        e.OutcomeAmended: _amended,
        e.FanOutPlanned: _planned,
        e.FanOutEnded: _fan_ended,
        e.RoundPlanned: _round,
        e.LoopEnded: _loop_ended,
        e.RetryScheduled: _retry,
        e.GenerationRaised: _raised,
        e.DrainStarted: _drain,
        e.UndoRequested: _requested,
        e.UndoSucceeded: _undo_succeeded,
        e.UndoFailed: _failed,
        e.UndoVerified: _undo_verified,
        e.SagaParked: _parked,
        e.ParkingResolved: _resolved,
        e.SavepointChosen: _savepoint_chosen,
        e.SavepointReached: _savepoint_reached,
        e.RunResumed: _resumed,
        e.SagaKilled: _killed,
        e.LateReplyRecorded: _late,
        e.LimitReached: _limit,
        e.PermissionDenied: _denied,
        e.CheckpointRecorded: _checkpoint,
    }


def _until(line: Line, due_at: str) -> str:
    """An instant to come, with its day where that is not the line's."""
    return short(instant_of(due_at), line.at)


def _later(line: Line, due_at: str) -> str:
    """The same to the millisecond: of what is tried again soon."""
    at = instant_of(due_at)
    return clock(at) if day(at) == day(line.at) else day_and_clock(at)


def _tries(line: Line) -> str:
    return f", {counted(line.requests, 'attempt')}" if line.requests > 1 else ""


def _kinds(about: str, kind: str) -> str:
    """Add a failure's kind, unless it says no more than the rest of the line does: that there is doubt."""
    return about if kind == "in_doubt" else f"{about}, {kind}"
