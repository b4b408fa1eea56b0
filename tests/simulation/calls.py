"""Handlers of a simulated run: what each sends to its participant, when it lands, and what is answered, if anything."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amends.coordinator.core.commands import Command
from amends.coordinator.core.messages import (
    Answer,
    Done,
    Ended,
    Failed,
    No,
    NoAnswer,
    Pends,
    ReadBack,
    Replied,
    Unknown,
    Yes,
)
from amends.coordinator.definition.form import StepForm
from amends.schemas.instants import MILLISECOND, Instant
from tests.simulation.world import Request, Verdict

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

Name = tuple[str, str, str, int]


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


@dataclass(slots=True, kw_only=True)
class Calls:
    """Those that are at work."""

    simulation: "Simulation"
    running: dict[Name, Call] = field(default_factory=dict)

    def attend(self) -> None:
        """Start what is wanted, stop what is not."""
        wanted = {_name(command): command for command in self.simulation.run.wanted()}
        for name in [name for name in self.running if name not in wanted]:
            call = self.running.pop(name)
            call.stopped = self.simulation.random.random() < 0.5
        for name, command in wanted.items():
            if name not in self.running and command.handler not in self.simulation.run.plan.missing:
                self._begin(name, command)

    def crash(self) -> None:
        """Their process dies."""
        for call in self.running.values():
            call.lost = True
            call.lands_until = self.simulation.run.now + call.late_ms * MILLISECOND
        self.running.clear()

    def _begin(self, name: Name, command: Command) -> None:
        simulation = self.simulation
        call = Call(command=command)
        self.running[name] = call
        if command.role in {"verify", "lookup"}:
            asked_at = max(simulation.run.now, command.not_before or 0)
            asked_at += simulation.random.randrange(1, 300) * MILLISECOND
            simulation.at(asked_at, lambda: self._answer(name, call))
            return
        if command.direction == "undo":
            running = [each for each in self.running.values() if each.acts_forward(command.path)]
            simulation.checker.require(not running, "S21", f"undo of {command.path} while its step runs")
        if simulation.run.plan.steps[command.path].acts:
            self._perform(name, call)
        else:
            self._read(name, call)

    def _perform(self, name: Name, call: Call) -> None:
        simulation, command, faults = self.simulation, call.command, self.simulation.faults
        random, now = simulation.random, simulation.run.now
        assert command.timeout_at is not None, "an attempt has a time limit"
        took_ms = random.randrange(1, 20_000 if simulation.percent(faults.slow) else 800)
        ends_at = now + took_ms * MILLISECOND
        if ends_at > command.timeout_at:
            timeout = Unknown(kind="timeout", message="", running=True)
            simulation.at(command.timeout_at, lambda: self._reply(name, call, timeout))
        request, verdict = self._request(command), self._verdict()
        sent_at = min(now + random.randrange(took_ms + 1) * MILLISECOND, command.timeout_at, ends_at)
        within_ms = _pending_ms(simulation.run.plan.steps[command.path], command)
        kind = random.randrange(100)
        if within_ms is not None and simulation.percent(60):
            self._pend(name, call, request, verdict, ends_at=ends_at, within_ms=within_ms)
        elif kind < faults.unavailable:
            failed = Failed(kind="unavailable", message="", retriable=True)
            simulation.at(ends_at, lambda: self._reply(name, call, failed))
        elif kind < faults.unavailable + faults.raises:
            if random.random() < 0.5:
                simulation.at(sent_at, lambda: self._deliver(call, request, verdict))
            simulation.at(ends_at, lambda: self._reply(name, call, Ended(kind="exception", message="")))
        elif kind < faults.unavailable + faults.raises + faults.no_reply:
            if random.random() < 0.7:
                self._deliver_late(call, request, verdict, ends_at)
            simulation.at(ends_at, lambda: self._reply(name, call, Unknown(kind="in_doubt", message="")))
        else:
            simulation.at(sent_at, lambda: self._deliver(call, request, verdict))
            simulation.at(ends_at, lambda: self._reply_of_participant(name, call))

    def _pend(
        self, name: Name, call: Call, request: Request, verdict: Verdict, *, ends_at: Instant, within_ms: int
    ) -> None:
        """The participant takes the request, acts when it likes, and answers by a message: late, twice, or never."""
        simulation, world = self.simulation, self.simulation.world
        lands_at = self._deliver_late(call, request, "unavailable" if simulation.percent(10) else verdict, ends_at)
        promised = world.certainty(request.path, request.direction)
        knows = promised.deduplicates and promised.window_ms is None
        correlation = request.key if knows else f"{request.key}:{call.command.number}"
        if simulation.percent(simulation.faults.careless):
            correlation = "one for all"
        simulation.at(ends_at, lambda: self._reply(name, call, Pends(correlation=correlation, within_ms=within_ms)))
        simulation.senders.will_answer(
            request,
            correlation,
            lambda: call.verdict,
            after=max(lands_at, ends_at),
            within_ms=within_ms,
        )

    def _deliver_late(self, call: Call, request: Request, verdict: Verdict, ends_at: Instant) -> Instant:
        """It lands when it likes; when that is."""
        call.late_ms = self.simulation.world.late_ms(request.path, request.direction)
        lands_at = self._lands_at(request, ends_at, call.late_ms)
        self.simulation.at(lands_at, lambda: self._deliver(call, request, verdict, late=True))
        return lands_at

    def _read(self, name: Name, call: Call) -> None:
        simulation, faults = self.simulation, self.simulation.faults
        ends_at = simulation.run.now + simulation.random.randrange(1, 900) * MILLISECOND
        expected = simulation.run.plan.steps[call.command.path].kind == "expect"
        answer: Answer = Done(result=simulation.run.keep(simulation.percent(70) if expected else "read"))
        if simulation.percent(faults.unavailable):
            answer = Failed(kind="unavailable", message="", retriable=True)
        elif simulation.percent(faults.raises):
            answer = Ended(kind="exception", message="")
        simulation.at(ends_at, lambda: self._reply(name, call, answer))

    def _request(self, command: Command) -> Request:
        state = self.simulation.run.get()
        forward = state.effect(command.path, "forward").key or ""
        key = state.effect(command.path, command.direction).key or ""
        return Request(command.path, command.direction, command.number, key, forward)

    def _verdict(self) -> Verdict:
        return "refused" if self.simulation.percent(self.simulation.faults.refused) else "done"

    def _lands_at(self, request: Request, ends_at: Instant, late_ms: int) -> Instant:
        simulation = self.simulation
        effect = simulation.run.get().effect(request.path, request.direction)
        late_at = ends_at + simulation.random.randrange(late_ms + 1) * MILLISECOND
        lands_at = simulation.world.lands_at(request, late_at, key_used_at=effect.key_used_at)
        return max(lands_at, simulation.run.now)

    def _deliver(self, call: Call, request: Request, verdict: Verdict, *, late: bool = False) -> None:
        now = self.simulation.run.now
        if call.lost and not (late and now <= call.lands_until):
            return
        call.verdict = self.simulation.world.deliver(request, now, verdict=verdict)

    def _reply_of_participant(self, name: Name, call: Call) -> None:
        if call.verdict == "refused":
            self._reply(name, call, Failed(kind="refused", message="", retriable=False))
        elif call.verdict == "unavailable":
            self._reply(name, call, Failed(kind="unavailable", message="", retriable=True))
        else:
            forward = call.command.direction == "forward"
            self._reply(name, call, Done(result=self.simulation.run.keep(call.command.path) if forward else None))

    def _reply(self, name: Name, call: Call, answer: Answer) -> None:
        if call.lost or call.stopped:
            return
        command = call.command
        if not (isinstance(answer, Unknown) and answer.running):
            self.running.pop(name, None)
        message = Replied(path=command.path, direction=command.direction, attempt=command.number, answer=answer)
        self.simulation.tell(message)
        if self.simulation.percent(5):
            self.simulation.tell(message)  # Delivered twice: the second changes nothing, or what was due anyway.

    def _answer(self, name: Name, call: Call) -> None:
        if call.lost or call.stopped:
            return
        self.running.pop(name, None)
        simulation, command = self.simulation, call.command
        stands = simulation.world.stands(command.path, simulation.run.get().effect(command.path, "forward").key)
        yes = stands if command.direction == "forward" else not stands
        answer: Yes | No | NoAnswer = No()
        if simulation.percent(simulation.faults.silent_reader):
            answer = NoAnswer(message="down")
        elif yes and not self._lags(command):
            answer = Yes(result=simulation.run.keep("found") if command.role == "lookup" else None)
        simulation.tell(
            ReadBack(
                path=command.path, direction=command.direction, role=command.role, asked=command.number, answer=answer
            )
        )

    def _lags(self, command: Command) -> bool:
        """A read-back may be late, but not for longer than the definition allows it to be."""
        simulation = self.simulation
        plan = simulation.run.plan
        reader = plan.readback(command.path, command.direction) or plan.delayed(command.path, command.direction)
        if command.role != "verify" or reader is None:
            return False
        for_us = simulation.run.now - simulation.world.changed_at.get(command.path, 0)
        return for_us < reader.within_ms * MILLISECOND and simulation.percent(simulation.faults.lagging_reader)


def _pending_ms(step: StepForm, command: Command) -> int | None:
    pending = step.pending if command.direction == "forward" else step.undo.pending if step.undo is not None else None
    return None if pending is None else pending.within_ms


def _name(command: Command) -> Name:
    return command.path, command.direction, command.role, command.number
