"""A run in a world full of faults, on a virtual clock: lost, late and doubled requests, crashes, impatient people."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final, NamedTuple

from msgspec.structs import replace

from amends.coordinator.core.commands import commands, missing_handler, next_due
from amends.coordinator.core.decide import decide
from amends.coordinator.core.messages import CancelWished, KillWished, LocksGranted, Message, Recovered, Tick
from amends.coordinator.core.people import may_cancel
from amends.coordinator.core.plan import plan_of
from amends.coordinator.core.state import State
from amends.coordinator.core.verifying import open_verifications
from amends.coordinator.core.waiting import rests
from amends.coordinator.definition.form import DefinitionForm, HandlerForm, StepForm
from amends.coordinator.reading.outcomes import has_outcome, outcome_of
from amends.schemas.entry import Entry
from amends.schemas.events import SagaCompensated, SagaCompleted, WaitStarted
from amends.schemas.instants import MILLISECOND, SECOND, Instant
from tests.simulation.calls import Calls
from tests.simulation.checker import Checker
from tests.simulation.people import People
from tests.simulation.random_definitions import DICE, PILES
from tests.simulation.run import Run
from tests.simulation.senders import Senders
from tests.simulation.world import World

EVENTS_MAX: Final = 600


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
    careless: int = 0
    """That what is pending is so under a key that others have, too."""
    meddled: int = 15
    """After the end: that somebody else has changed what is to be read back."""


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
    calls: Calls = field(init=False)
    senders: Senders = field(init=False)
    people: People = field(init=False)
    down: bool = False
    """Between a crash and the new owner: nothing is decided, what was sent lands."""
    _heap: list[tuple[Instant, int, Happening]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    def of(cls, form: DefinitionForm, random: Random, faults: Faults) -> "Simulation":
        """A run that has started."""
        dice = random.choice(DICE)
        run = Run(plan=plan_of(form), trigger={"dice": dice, "pile": dice % PILES})
        checker = Checker(plan=run.plan, payload=run.payloads.get)
        simulation = cls(run=run, random=random, faults=faults, world=World(plan=run.plan), checker=checker)
        simulation.calls = Calls(simulation=simulation)
        simulation.senders = Senders(simulation=simulation)
        simulation.people = People(simulation=simulation)
        run.on_entry = simulation._on_entry
        run.start()
        if run.status == "queued":
            simulation.at(run.now + random.randrange(5 * SECOND), simulation._turn_comes)
        return simulation

    def to_the_end(self) -> str:
        """Run until it has ended and nothing is on its way any more; gives the last status."""
        for _ in range(EVENTS_MAX):
            if self._over and not self._heap:
                break
            self._attend()
            if not self._next():
                break
        else:
            self.tell(KillWished(reason="the simulation is over"))
            return "killed"
        self.checker.finish(self.world)
        return self.run.status

    def at(self, at: Instant, happening: Happening) -> None:
        """Have this happen then."""
        heapq.heappush(self._heap, (max(at, self.run.now), next(self._numbers), happening))

    def tell(self, message: Message) -> list[str]:
        """Have the core decide; what it decided."""
        return self.run.tell(message)

    def percent(self, chance: int) -> bool:
        """Whether what is so likely comes about."""
        return self.random.randrange(100) < chance

    # What happens next

    @property
    def _over(self) -> bool:
        """Whether nothing more is to be done by anybody."""
        return self.run.get().closed and not open_verifications(self.run.get())

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
            if not self.tell(Tick()):
                later = next_due(run.plan, run.get())
                self.checker.require(later is None or later > run.now, "L1", f"nothing is decided at its instant {due}")
            return True
        if self._over:
            return False
        if state.status != "parked":
            raise Stuck(f"{state.status}, doing nothing: {run.story[-6:]}")
        self.people.resolve()
        return True

    def _attend(self) -> None:
        """Start what is wanted, stop what is not; crashes and people come in between."""
        if self._over or self.down:
            return
        chance = self.random.randrange(100)
        if chance < self.faults.crash:
            self._crash()
            return
        if chance < self.faults.crash + self.faults.cancel and may_cancel(self.run.plan, self.run.get()) is None:
            self.tell(CancelWished(reason="changed their mind"))
        elif chance < self.faults.crash + self.faults.cancel + self.faults.kill:
            self.tell(KillWished(reason="enough"))
        self.calls.attend()
        self._waits_visibly()

    def _waits_visibly(self) -> None:
        """A run that only the arrival of a handler would move on says which (rule 14)."""
        run, state = self.run, self.run.get()
        at_work = state.status in {"running", "compensating"} and not state.draining
        idle = not self.calls.running and (at_work or (state.closed and not self._over))
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

    def _turn_comes(self) -> None:
        """Whoever held its locks has ended. A message in the inbox waits for the next owner."""
        if self.down:
            self.at(self.run.now + SECOND, self._turn_comes)
        else:
            self.tell(LocksGranted())

    # Crashes

    def _crash(self) -> None:
        self.calls.crash()
        self.down = True
        self.at(self.run.now + self.random.randrange(1, 5_000) * MILLISECOND, self._recover)

    def _recover(self) -> None:
        self.down = False
        if self.percent(self.faults.missing):
            form = self.run.plan.form
            names = [each.name for step in form.steps for each in _handlers(step)]
            self.run.plan = plan_of(form, missing=frozenset(each for each in names if self.percent(30)))
            self.at(self.run.now + self.random.randrange(1, 30) * SECOND, self._handlers_arrive)
        self.tell(Recovered(clean=self.random.random() < 0.3))

    def _handlers_arrive(self) -> None:
        self.run.plan = plan_of(self.run.plan.form)
        if not self.down:
            self.tell(Tick())

    # After each entry

    def _on_entry(self, run: Run, entry: Entry, _message: Message) -> None:
        self.checker.entry(entry)
        state = run.get()
        if has_outcome(entry.events):
            self.checker.outcome(outcome_of(state, run.payloads.get), entry)
        self.checker.against(self.world, entry, state)
        for event in entry.events:
            match event:
                case WaitStarted():
                    self.senders.awaited(event)
                case SagaCompleted() | SagaCompensated():
                    self.people.meddle()
        if not state.closed:
            self._survives_a_crash(run, state)

    def _survives_a_crash(self, run: Run, state: State) -> None:
        """Nothing that ran here runs a second time under its number."""
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


def _handlers(step: StepForm) -> list[HandlerForm]:
    undo = (step.undo.handler, step.undo.verify) if step.undo is not None else ()
    return [each for each in (step.handler, step.verify, step.lookup, *undo) if each is not None]


__all__ = ["Faults", "Simulation", "Stuck"]
