"""A run whose first request gets no reply, at a participant that keeps its promises: what is done about the doubt."""

import heapq
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from amends.coordinator.core.commands import Command, next_due
from amends.coordinator.core.messages import Done, Failed, No, ReadBack, Replied, Tick, Unknown, Yes
from amends.coordinator.core.plan import plan_of
from amends.schemas.instants import MILLISECOND, Instant
from tests.simulation.checker import Checker
from tests.simulation.definitions import action, read, saga
from tests.simulation.run import Run
from tests.simulation.world import Request, World

Phase = Literal["forward", "drain", "undo"]
Key = Literal["none", "open", "expired"]
Lands = Literal["never", "at once", "late"]

SETTLE_MS: Final = 20_000
LATE_MS: Final = 15_000
"""Well behind everything that is decided at once, and within `settle_s`."""
_WINDOWS: Final = {"none": None, "open": None, "expired": 500}
_LANDS_AFTER_MS: Final = {"at once": 0, "late": LATE_MS}


class Doubt(NamedTuple):
    """One row: where the run stands, what the participant promises, and what became of the lost request."""

    phase: Phase
    tombstones: bool
    reader: bool
    """A lookup for the step; for its undo, a read-back."""
    key: Key
    waits: bool
    lands: Lands

    def __str__(self) -> str:
        promises = [
            "tombstones" if self.tombstones else "",
            "reader" if self.reader else "",
            f"key {self.key}" if self.key != "none" else "",
            "waits" if self.waits else "",
        ]
        return f"{self.phase}, {' + '.join(filter(None, promises)) or 'nothing'}, landed {self.lands}"


@dataclass(slots=True, kw_only=True)
class Settling:
    """Plays one row to its end: a run that has ended or is parked, and nothing more on its way."""

    doubt: Doubt
    run: Run
    world: World
    checker: Checker
    late: list[tuple[Instant, Request]] = field(default_factory=list)
    lost: bool = False

    @classmethod
    def of(cls, doubt: Doubt) -> "Settling":
        step = action(
            "charge",
            lookup=doubt.reader,
            key=doubt.key != "none",
            window_ms=_WINDOWS[doubt.key],
            tombstones=doubt.tombstones,
            settle="wait" if doubt.waits else "resend",
            settle_ms=SETTLE_MS,
            undo_verify=doubt.reader,
        )
        plan = plan_of(saga(step, read("look")))
        settling = cls(doubt=doubt, run=Run(plan=plan), world=World(plan=plan), checker=Checker(plan=plan))
        settling.run.on_entry = lambda _run, entry, _message: settling.checker.entry(entry)
        settling.run.start()
        return settling

    def play(self) -> None:
        if self.doubt.phase == "undo":
            self._perform(self.run.command("charge"))
        if self.doubt.phase != "forward":
            self.run.cancel()
        while not self.run.get().closed and self.run.status != "parked":
            self._next()
        while self.late:
            self._land()
        self.checker.finish(self.world)

    def _next(self) -> None:
        times: list[tuple[Instant, int, Command | None]] = [
            (max(self.run.now, command.not_before or 0), 1, command) for command in self.run.wanted()
        ]
        due = next_due(self.run.plan, self.run.get())
        if due is not None:
            times.append((max(due, self.run.now), 2, None))
        at, _, command = min(times, key=lambda each: each[:2])
        if self.late and self.late[0][0] <= at:
            self._land()
            return
        self.run.now = at
        if command is None:
            self.run.tell(Tick())
        elif command.role in {"verify", "lookup"}:
            self._answer(command)
        else:
            self._perform(command)

    def _land(self) -> None:
        at, request = heapq.heappop(self.late)
        self.run.now = max(self.run.now, at)
        self.world.deliver(request, self.run.now, verdict="done")

    def _perform(self, command: Command) -> None:
        if command.path == "look":
            self._reply(command, Done(result=self.run.keep("seen")))
            return
        step = self.run.effect("charge")
        key = self.run.get().effect(command.path, command.direction).key or ""
        request = Request(command.path, command.direction, command.number, key, step.key or "")
        forward = command.direction == "forward"
        if forward == (self.doubt.phase != "undo") and not self.lost:
            self.lost = True
            if self.doubt.lands != "never":
                heapq.heappush(self.late, (self.run.now + _LANDS_AFTER_MS[self.doubt.lands] * MILLISECOND, request))
            if self.doubt.lands == "at once":
                self._land()
            self._reply(command, Unknown(kind="in_doubt", message="no reply"))
        elif self.world.deliver(request, self.run.now, verdict="done") == "done":
            self._reply(command, Done(result=self.run.keep("done") if forward else None))
        else:
            self._reply(command, Failed(kind="refused", message="", retriable=False))

    def _reply(self, command: Command, answer: Done | Failed | Unknown) -> None:
        self.run.tell(Replied(path=command.path, direction=command.direction, attempt=command.number, answer=answer))

    def _answer(self, command: Command) -> None:
        stands = self.world.stands("charge", self.run.effect("charge").key)
        yes = stands if command.direction == "forward" else not stands
        found = self.run.keep("found") if command.role == "lookup" else None
        self.run.tell(
            ReadBack(
                path=command.path,
                direction=command.direction,
                role=command.role,
                asked=command.number,
                answer=Yes(result=found) if yes else No(),
            )
        )

    @property
    def ways(self) -> list[str]:
        """How the doubt was dealt with: `present`, `absent`, `tombstone`, `again`, `parked`, in order."""
        what = "undo of charge" if self.doubt.phase == "undo" else "charge"
        found = []
        for told in self.run.story:
            if told.startswith(f"{what} settled: "):
                found.append(told.removeprefix(f"{what} settled: ").partition(" ")[0])
            elif told == f"request {what} again":
                found.append("again")
            elif told.startswith("parked"):
                found.append("parked")
        return found
