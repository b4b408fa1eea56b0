"""A run in a world full of faults, on a virtual clock: lost, late and doubled requests, crashes, impatient people."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final, NamedTuple

from msgspec.structs import replace

from amends.coordinator.core.commands import Command, commands, missing_handler, next_due
from amends.coordinator.core.decide import decide
from amends.coordinator.core.messages import (
    Answer,
    CancelWished,
    Delivered,
    Done,
    Ended,
    Failed,
    KillWished,
    LocksGranted,
    Message,
    No,
    NoAnswer,
    Pends,
    ReadBack,
    Recovered,
    Replied,
    ResolutionWished,
    Said,
    SavepointWished,
    Tick,
    Unknown,
    Yes,
)
from amends.coordinator.core.people import may_cancel, resolutions
from amends.coordinator.core.plan import plan_of
from amends.coordinator.core.savepoints import savepoints
from amends.coordinator.core.waiting import rests
from amends.coordinator.definition.form import DefinitionForm, HandlerForm, StepForm
from amends.schemas.entry import Entry
from amends.schemas.events import Resolution, WaitStarted
from amends.schemas.instants import MILLISECOND, SECOND, Instant
from tests.simulation.checker import Checker
from tests.simulation.random_definitions import DICE, PILES
from tests.simulation.run import Run
from tests.simulation.world import Request, Verdict, World

EVENTS_MAX: Final = 600
RESOLUTIONS_MAX: Final = 12
"""After so many a person gives up and kills the run."""


class Faults(NamedTuple):
    """How likely what is, in percent."""

    no_reply: int = 15
    raises: int = 8
    refused: int = 6
    unavailable: int = 10
    slow: int = 10
    silent_reader: int = 15
    lagging_reader: int = 20
    crash: int = 2
    cancel: int = 1
    kill: int = 0
    missing: int = 0
    """After a crash: that the new owner lacks some handlers for a while."""


class Stuck(AssertionError):
    """The run is open and neither works, nor waits for an instant, nor for a person."""


Happening = Callable[[], None]


@dataclass(slots=True, kw_only=True)
class Simulation:
    """Drives `run` to its end. Everything random comes from `random`, so a seed is a story."""

    run: Run
    random: Random
    faults: Faults
    world: World
    checker: Checker
    running: dict[tuple[str, str, str, int], "Call"] = field(default_factory=dict)
    resolved: int = 0
    down: bool = False
    """Between a crash and the new owner: nothing is decided, what was sent lands."""
    _heap: list[tuple[Instant, int, Happening]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    def of(cls, form: DefinitionForm, random: Random, faults: Faults) -> "Simulation":
        """A run that has started."""
        dice = random.choice(DICE)
        run = Run(plan=plan_of(form), trigger={"dice": dice, "pile": dice % PILES})
        simulation = cls(
            run=run, random=random, faults=faults, world=World(plan=run.plan), checker=Checker(plan=run.plan)
        )
        run.on_entry = simulation._on_entry
        run.start()
        if run.status == "queued":
            simulation._at(run.now + random.randrange(5 * SECOND), simulation._turn_comes)
        return simulation

    def to_the_end(self) -> str:
        """Run until it has ended and nothing is on its way any more; gives the last status."""
        for _ in range(EVENTS_MAX):
            if self.run.get().closed and not self._heap:
                break
            self._attend()
            if not self._next():
                break
        else:
            self._tell(KillWished(reason="the simulation is over"))
            return "killed"
        self.checker.finish(self.world)
        return self.run.status

    # What happens next

    def _next(self) -> bool:
        run, state = self.run, self.run.get()
        due = None if self.down else next_due(run.plan, state)
        if self._heap and (due is None or self._heap[0][0] <= due):
            at, _, happening = heapq.heappop(self._heap)
            run.now = max(run.now, at)
            happening()
            return True
        if due is not None:
            run.now = max(run.now, due)
            if not self._tell(Tick()):
                later = next_due(run.plan, run.get())
                self.checker.require(later is None or later > run.now, "L1", f"nothing is decided at its instant {due}")
            return True
        if state.closed:
            return False
        if state.status != "parked":
            raise Stuck(f"{state.status}, doing nothing: {run.story[-6:]}")
        self._person()
        return True

    def _attend(self) -> None:
        """Start what is wanted, stop what is not; crashes and people come in between."""
        if self.run.get().closed or self.down:
            return
        chance = self.random.randrange(100)
        if chance < self.faults.crash:
            self._crash()
            return
        if chance < self.faults.crash + self.faults.cancel and may_cancel(self.run.plan, self.run.get()) is None:
            self._tell(CancelWished(reason="changed their mind"))
        elif chance < self.faults.crash + self.faults.cancel + self.faults.kill:
            self._tell(KillWished(reason="enough"))
        wanted = {_name(command): command for command in self.run.wanted()}
        for name in [name for name in self.running if name not in wanted]:
            call = self.running.pop(name)
            call.stopped = self.random.random() < 0.5
        for name, command in wanted.items():
            if name not in self.running and command.handler not in self.run.plan.missing:
                self._call(name, command)
        self._waits_visibly()

    def _waits_visibly(self) -> None:
        """A run that only the arrival of a handler would move on says which (rule 14)."""
        run, state = self.run, self.run.get()
        idle = not self.running and state.status in {"running", "compensating"} and not state.draining
        if idle and not self._retries():
            self.checker.require(
                missing_handler(run.plan, state, run.now) in run.plan.missing or rests(run.plan, state),
                "S23",
                "it waits and nobody knows for what",
            )

    def _retries(self) -> bool:
        state, missing = self.run.get(), self.run.plan.missing
        steps = self.run.plan.steps
        return any(
            effect.phase == "retrying" and steps[path].handler.name not in missing
            for path, effect in (state.forward.items() if state.undo_list is None else ())
        ) or any(effect.phase == "retrying" and f"{path}.undo" not in missing for path, effect in state.undo.items())

    def _at(self, at: Instant, happening: Happening) -> None:
        heapq.heappush(self._heap, (max(at, self.run.now), next(self._numbers), happening))

    def _turn_comes(self) -> None:
        """Whoever held its locks has ended. A message in the inbox waits for the next owner."""
        if self.down:
            self._at(self.run.now + SECOND, self._turn_comes)
        else:
            self._tell(LocksGranted())

    def _tell(self, message: Message) -> list[str]:
        return self.run.tell(message)

    def _percent(self, chance: int) -> bool:
        return self.random.randrange(100) < chance

    # Handlers

    def _call(self, name: tuple[str, str, str, int], command: Command) -> None:
        call = Call(command=command)
        self.running[name] = call
        if command.role in {"verify", "lookup"}:
            asked_at = max(self.run.now, command.not_before or 0) + self.random.randrange(1, 300) * MILLISECOND
            self._at(asked_at, lambda: self._answer(name, call))
            return
        if command.direction == "undo":
            running = [each for each in self.running.values() if each.acts_forward(command.path)]
            self.checker.require(not running, "S21", f"undo of {command.path} while its step runs")
        if self.run.plan.steps[command.path].acts:
            self._perform(name, call)
        else:
            self._read(name, call)

    def _perform(self, name: tuple[str, str, str, int], call: "Call") -> None:
        command, now = call.command, self.run.now
        assert command.timeout_at is not None, "an attempt has a time limit"
        slow = self._percent(self.faults.slow)
        took_ms = self.random.randrange(1, 20_000 if slow else 800)
        ends_at = now + took_ms * MILLISECOND
        if ends_at > command.timeout_at:
            self._at(
                command.timeout_at, lambda: self._reply(name, call, Unknown(kind="timeout", message="", running=True))
            )
        request, verdict = self._request(command), self._verdict()
        sent_at = now + self.random.randrange(took_ms + 1) * MILLISECOND
        sent_at = min(sent_at, command.timeout_at, ends_at)
        within_ms = _pending_ms(self.run.plan.steps[command.path], command)
        kind = self.random.randrange(100)
        if within_ms is not None and self._percent(60):
            self._pend(name, call, request, verdict, ends_at=ends_at, within_ms=within_ms)
        elif kind < self.faults.unavailable:
            self._at(ends_at, lambda: self._reply(name, call, Failed(kind="unavailable", message="", retriable=True)))
        elif kind < self.faults.unavailable + self.faults.raises:
            if self.random.random() < 0.5:
                self._at(sent_at, lambda: self._deliver(call, request, verdict))
            self._at(ends_at, lambda: self._reply(name, call, Ended(kind="exception", message="")))
        elif kind < self.faults.unavailable + self.faults.raises + self.faults.no_reply:
            if self.random.random() < 0.7:
                call.late_ms = self.world.late_ms(request.path, request.direction)
                lands_at = self._lands_at(request, ends_at, call.late_ms)
                self._at(lands_at, lambda: self._deliver(call, request, verdict, late=True))
            self._at(ends_at, lambda: self._reply(name, call, Unknown(kind="in_doubt", message="")))
        else:
            self._at(sent_at, lambda: self._deliver(call, request, verdict))
            self._at(ends_at, lambda: self._reply_of_participant(name, call))

    def _pend(
        self,
        name: tuple[str, str, str, int],
        call: "Call",
        request: Request,
        verdict: Verdict,
        *,
        ends_at: Instant,
        within_ms: int,
    ) -> None:
        """The participant takes the request, acts when it likes, and answers by a message: late, twice, or never."""
        call.late_ms = self.world.late_ms(request.path, request.direction)
        lands_at = self._lands_at(request, ends_at, call.late_ms)
        self._at(lands_at, lambda: self._deliver(call, request, verdict, late=True))
        promised = self.world.certainty(request.path, request.direction)
        knows = promised.deduplicates and promised.window_ms is None
        correlation = request.key if knows else f"{request.key}:{call.command.number}"
        self._at(ends_at, lambda: self._reply(name, call, Pends(correlation=correlation, within_ms=within_ms)))
        if not self._percent(15):
            answers_at = max(lands_at, ends_at) + self.random.randrange(1, 2 * within_ms) * MILLISECOND
            self._at(answers_at, lambda: self._answers(call, request, correlation))

    def _answers(self, call: "Call", request: Request, correlation: str) -> None:
        if self.down:
            self._at(self.run.now + SECOND, lambda: self._answers(call, request, correlation))
            return
        if call.verdict is None:
            return  # It never landed.
        result = self.run.keep(request.path) if request.direction == "forward" else None
        said = Said(verdict="succeeded", answer=Done(result=result))
        if call.verdict == "refused":
            said = Said(verdict="refused", answer=Failed(kind="refused", message="", retriable=False))
        if self._percent(10):
            said = Said(verdict="unknown", answer=Unknown(kind="in_doubt", message=""))
        for _ in range(2 if self._percent(20) else 1):
            self._tell(
                Delivered(
                    path=request.path,
                    direction=request.direction,
                    message_id=f"reply:{request.key}",
                    correlation=correlation,
                    message_type="answer",
                    body=self.run.keep(request.path),
                    answer=said,
                )
            )

    def _read(self, name: tuple[str, str, str, int], call: "Call") -> None:
        ends_at = self.run.now + self.random.randrange(1, 900) * MILLISECOND
        expected = self.run.plan.steps[call.command.path].kind == "expect"
        answer: Answer = Done(result=self.run.keep(self._percent(70) if expected else "read"))
        if self._percent(self.faults.unavailable):
            answer = Failed(kind="unavailable", message="", retriable=True)
        elif self._percent(self.faults.raises):
            answer = Ended(kind="exception", message="")
        self._at(ends_at, lambda: self._reply(name, call, answer))

    def _request(self, command: Command) -> Request:
        forward = self.run.get().effect(command.path, "forward").key or ""
        key = self.run.get().effect(command.path, command.direction).key or ""
        return Request(command.path, command.direction, command.number, key, forward)

    def _verdict(self) -> Verdict:
        return "refused" if self._percent(self.faults.refused) else "done"

    def _lands_at(self, request: Request, ends_at: Instant, late_ms: int) -> Instant:
        effect = self.run.get().effect(request.path, request.direction)
        late_at = ends_at + self.random.randrange(late_ms + 1) * MILLISECOND
        return max(self.world.lands_at(request, late_at, key_used_at=effect.key_used_at), self.run.now)

    def _deliver(self, call: "Call", request: Request, verdict: Verdict, *, late: bool = False) -> None:
        if call.lost and not (late and self.run.now <= call.lands_until):
            return
        call.verdict = self.world.deliver(request, self.run.now, verdict=verdict)

    def _reply_of_participant(self, name: tuple[str, str, str, int], call: "Call") -> None:
        if call.verdict == "refused":
            self._reply(name, call, Failed(kind="refused", message="", retriable=False))
        else:
            forward = call.command.direction == "forward"
            self._reply(name, call, Done(result=self.run.keep(call.command.path) if forward else None))

    def _reply(self, name: tuple[str, str, str, int], call: "Call", answer: Answer) -> None:
        if call.lost or call.stopped:
            return
        command = call.command
        if not (isinstance(answer, Unknown) and answer.running):
            self.running.pop(name, None)
        message = Replied(path=command.path, direction=command.direction, attempt=command.number, answer=answer)
        self._tell(message)
        if self._percent(5):
            self._tell(message)  # Delivered twice: the second changes nothing, or what was due anyway.

    def _answer(self, name: tuple[str, str, str, int], call: "Call") -> None:
        if call.lost or call.stopped:
            return
        self.running.pop(name, None)
        command = call.command
        stands = self.world.stands(command.path, self.run.get().effect(command.path, "forward").key)
        yes = stands if command.direction == "forward" else not stands
        answer: Yes | No | NoAnswer = No()
        if self._percent(self.faults.silent_reader):
            answer = NoAnswer(message="down")
        elif yes and not self._lags(command):
            answer = Yes(result=self.run.keep("found") if command.role == "lookup" else None)
        self._tell(
            ReadBack(
                path=command.path, direction=command.direction, role=command.role, asked=command.number, answer=answer
            )
        )

    def _lags(self, command: Command) -> bool:
        """A read-back may be late, but not for longer than the definition allows it to be."""
        reader = self.run.plan.readback(command.path, command.direction)
        if command.role != "verify" or reader is None:
            return False
        for_us = self.run.now - self.world.changed_at.get(command.path, 0)
        return for_us < reader.within_ms * MILLISECOND and self._percent(self.faults.lagging_reader)

    # Crashes and people

    def _crash(self) -> None:
        for call in self.running.values():
            call.lost = True
            call.lands_until = self.run.now + call.late_ms * MILLISECOND
        self.running.clear()
        self.down = True
        self._at(self.run.now + self.random.randrange(1, 5_000) * MILLISECOND, self._recover)

    def _recover(self) -> None:
        self.down = False
        if self._percent(self.faults.missing):
            form = self.run.plan.form
            names = [each.name for step in form.steps for each in _handlers(step)]
            self.run.plan = plan_of(form, missing=frozenset(each for each in names if self._percent(30)))
            self._at(self.run.now + self.random.randrange(1, 30) * SECOND, self._handlers_arrive)
        self._tell(Recovered(clean=self.random.random() < 0.3))

    def _handlers_arrive(self) -> None:
        self.run.plan = plan_of(self.run.plan.form)
        if not self.down:
            self._tell(Tick())

    def _person(self) -> None:
        run, state = self.run, self.run.get()
        assert state.parked is not None, "a parked run says why"
        run.now += self.random.randrange(1, 7_200) * SECOND
        self.resolved += 1
        if self.resolved > RESOLUTIONS_MAX:
            self._tell(KillWished(reason="too much"))
            return
        if may_cancel(run.plan, state) is None and self._percent(30):
            self._tell(CancelWished(reason="changed their mind"))
            return
        back_to = savepoints(run.plan, state)
        if back_to and self._percent(30):
            step = self.random.choice(back_to)
            decided = self._tell(SavepointWished(step=step, reason="from there"))
            self.checker.require(bool(decided), "rule 10", f"undo to {step} was offered and changes nothing")
            return
        choice = self.random.choice(resolutions(run.plan, state))
        path = state.parked.step
        if choice == "done_by_hand":
            self.world.put_right(state)
        decided = self._tell(ResolutionWished(step=path, resolution=choice, reason="because", evidence="ticket"))
        self.checker.require(bool(decided), "rule 10", f"{choice} was offered and changes nothing")

    # Messages

    def _awaited(self, wait: WaitStarted) -> None:
        """Somebody sends what is waited for, or nothing; in time or not, twice or something else first."""
        if wait.awaits != "message" or self._percent(20):
            return
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            at = self.run.now + self.random.choice((1, 50, 1_500, 90_000)) * MILLISECOND
            kind = "Return" if self._percent(15) else "Arrival"
            self._at(at, lambda kind=kind: self._sent(wait, kind))  # type: ignore[misc]

    def _sent(self, wait: WaitStarted, kind: str) -> None:
        if self.down:
            self._at(self.run.now + SECOND, lambda: self._sent(wait, kind))
            return
        taken = self.run.receives(wait.path, wait.correlation or "", kind=kind)
        self.checker.require(not taken or kind == "Arrival", "rule 2", f"{wait.path} took a message of type {kind}")

    # After each entry

    def _on_entry(self, run: Run, entry: Entry, message: Message) -> None:
        self.checker.entry(entry)
        for event in entry.events:
            if isinstance(event, WaitStarted):
                self._awaited(event)
        state = run.get()
        if state.closed:
            return
        _, again = decide(run.plan, state, Recovered(clean=False), run.now, run.payloads.__getitem__)
        again = replace(again, version=again.version + 1)
        for command in commands(run.plan, again, run.now):
            if command.role in {"verify", "lookup"} or again.status == "parked":
                continue
            before = state.effect(command.path, command.direction)
            fresh = command.number > before.attempt
            self.checker.require(
                fresh, "S3", f"after a crash attempt {command.number} of {command.path} would run twice"
            )


@dataclass(slots=True, kw_only=True)
class Call:
    """A handler at work."""

    command: Command
    stopped: bool = False
    """Nobody listens any more; what it sent is on its way."""
    lost: bool = False
    """Its process died: nothing more is sent, and no reply comes."""
    late_ms: int = 0
    lands_until: Instant = 0
    verdict: Verdict | None = None

    def acts_forward(self, path: str) -> bool:
        return self.command.role == "step" and self.command.path == path


def _pending_ms(step: StepForm, command: Command) -> int | None:
    pending = step.pending if command.direction == "forward" else step.undo.pending if step.undo is not None else None
    return None if pending is None else pending.within_ms


def _handlers(step: StepForm) -> list[HandlerForm]:
    undo = (step.undo.handler, step.undo.verify) if step.undo is not None else ()
    return [each for each in (step.handler, step.verify, step.lookup, *undo) if each is not None]


def _name(command: Command) -> tuple[str, str, str, int]:
    return command.path, command.direction, command.role, command.number


__all__ = ["Faults", "Resolution", "Simulation", "Stuck"]
