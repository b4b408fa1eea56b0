"""Rehearsing a saga: it is run in its sandbox, and failed, doubted and crashed at every moment, one at a time."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from amends.compensations.faults import Fault
from amends.compensations.judging import Ending, Finding, Park, is_expected, judge
from amends.compensations.scenarios import (
    Course,
    Scenario,
    StepFacts,
    base_path,
    forward_scenarios,
    turn_of,
    turned_scenarios,
)
from amends.compensations.worlds import World as Snapshot
from amends.compensations.worlds import differences
from amends.coordinator.core.evolve import fold
from amends.coordinator.core.state import State
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.parking import parked_way
from amends.coordinator.testing.caller import Caller
from amends.coordinator.testing.facts import facts_of, places_of
from amends.coordinator.testing.report import Rehearsal
from amends.coordinator.testing.sandbox import Sandbox, Trigger
from amends.coordinator.testing.stage import ACTOR, CoordinatorDied, Hands, Stage, hands_of
from amends.coordinator.testing.world import Clock
from amends.schemas import wishes
from amends.schemas.entry import decode

SCENARIOS_MAX: Final = 5_000
TIME_S_MAX: Final = 600.0
RETRIES_MAX: Final = 3
"""How often a person tries again what parked."""
DEATHS_MAX: Final = 10
MESSAGES_MAX: Final = 1_000

MakeStore = Callable[[Clock], Store]
"""A store in memory under this clock, ready to be used."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One scenario, played to its end."""

    ending: Ending
    course: Course
    after: Snapshot
    results: dict[tuple[str, str], object]


def rehearse(
    sandbox: Sandbox,
    *,
    make_store: MakeStore,
    triggers: Sequence[Trigger] | None = None,
    scenarios_max: int = SCENARIOS_MAX,
    time_s_max: float = TIME_S_MAX,
    progress: Progress = lambda _done, _of: None,
) -> Rehearsal:
    """Rehearse the sandbox's saga with its triggers, or with others.

    Raises `UsageError`: AM5102 for a participant without stand-in, AM5103 to AM5107 for a sandbox that cannot be used.
    """
    caller = Caller()
    try:
        with sandbox.opened(), _quiet():
            rehearsing = _Rehearsing(
                sandbox=sandbox,
                saga=sandbox.saga.close(),
                make_store=make_store,
                caller=caller,
                scenarios_max=scenarios_max,
                ends_at=time.monotonic() + time_s_max,
                progress=progress,
            )
            return rehearsing.all(tuple(sandbox.triggers if triggers is None else triggers))
    finally:
        caller.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Coordinators that die in hundreds are no news, unless somebody wants every detail."""
    logger = logging.getLogger("amends")
    former = logger.level
    if logger.getEffectiveLevel() > logging.DEBUG:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(former)


@dataclass(slots=True, kw_only=True)
class _Rehearsing:
    sandbox: Sandbox
    saga: ClosedSaga
    make_store: MakeStore
    caller: Caller
    scenarios_max: int
    ends_at: float
    progress: Progress
    steps: dict[str, StepFacts] = field(init=False)
    found: dict[tuple[object, ...], Finding] = field(default_factory=dict)
    played: int = 0
    planned: int = 0
    cut: int = 0
    seen: set[str] = field(default_factory=set)
    """Steps whose effect some snapshot showed."""
    acted: set[str] = field(default_factory=set)
    undone: dict[str, int] = field(default_factory=dict)
    """In how many scenarios a step's undo really ran."""

    def __post_init__(self) -> None:
        self.steps = facts_of(self.saga, self.sandbox)

    def all(self, triggers: tuple[Trigger, ...]) -> Rehearsal:
        """Every trigger in every scenario."""
        if not triggers:
            raise UsageError(
                "AM5107",
                f"there is no trigger to rehearse {self.saga.name!r} with",
                do="give the sandbox triggers=[…], or one by --trigger",
            )
        for number, trigger in enumerate(triggers, start=1):
            self._rehearse(trigger, number)
        self._unseen()
        if self.cut:
            why = f"{self.scenarios_max} are the limit" if self.played >= self.scenarios_max else "the time is up"
            message = f"{self.cut} scenarios were left out: {why}"
            self._add(Finding(kind="limit", step="", handler="", message=message, when=""))
        return Rehearsal(
            saga=self.saga.name,
            version=self.saga.version,
            triggers=len(triggers),
            scenarios=self.played,
            steps=tuple(self.steps.values()),
            findings=tuple(self.found.values()),
            places=places_of(self.saga),
            undone=self.undone,
        )

    def _rehearse(self, trigger: Trigger, number: int) -> None:
        first, second = self._play(trigger, ()), self._play(trigger, ())
        self._judge((), first.ending)
        unsteady = tuple(each.path for each in differences(first.after, second.after, ignore=self.sandbox.ignore))
        if unsteady:
            message = f"two runs without faults leave different worlds at {', '.join(unsteady[:5])}: not compared there"
            self._add(Finding(kind="unsteady", step="", handler="", message=message, when="nothing fails"))
        if first.ending.status not in {"completed", "compensated"}:
            return
        base = _Base(faultless=first, ignore=(*self.sandbox.ignore, *unsteady))
        scenarios = list(self._scenarios(trigger, number, base))
        self.planned += len(scenarios)
        for scenario in scenarios:
            if self.played >= self.scenarios_max or time.monotonic() > self.ends_at:
                self.cut += 1
                continue
            played = self._play(trigger, scenario.faults, base)
            self._judge(scenario.faults, played.ending)
            self.progress(self.played, self.planned)

    def _scenarios(self, trigger: Trigger, number: int, base: "_Base") -> Iterator[Scenario]:
        """All of one trigger, each once, in an order that tells the plain ones first."""
        course = base.faultless.course
        found = list(forward_scenarios(course, self.steps, number))
        turns = turn_of(course.calls, self.steps)
        found += [Scenario(trigger=number, faults=(turn,)) for turn in turns]
        if base.faultless.ending.status == "compensated":
            found += turned_scenarios(course, self.steps, number, ())
        elif turns:
            turned = self._play(trigger, turns[-1:], base)
            found += turned_scenarios(turned.course, self.steps, number, turns[-1:])
        yield from dict.fromkeys(found)

    def _judge(self, faults: tuple[Fault, ...], ending: Ending) -> None:
        for finding in judge(faults, ending, self.steps):
            self._add(finding)

    def _add(self, finding: Finding) -> None:
        known = self.found.get(finding.key)
        self.found[finding.key] = finding if known is None else replace(known, scenarios=known.scenarios + 1)

    def _unseen(self) -> None:
        for path in self.acted - self.seen:
            step = self.steps[path]
            if not step.unseen:
                message = f"no snapshot shows what {path!r} does, so nobody can tell whether it is undone"
                self._add(
                    Finding(kind="unseen", step=path, handler=step.handler, message=message, when="nothing fails")
                )

    def _play(self, trigger: Trigger, faults: tuple[Fault, ...], base: "_Base | None" = None) -> Played:
        """One scenario in a fresh world."""
        self.played += 1
        sandbox, caller = self.sandbox, self.caller
        try:
            places = caller.call("the sandbox's begin", sandbox.begin)
            self._refuse_strangers(places)

            def look() -> Snapshot:
                return caller.call("the sandbox's snapshot", sandbox.snapshot)

            before, clock = look(), Clock()
            hands = hands_of(clock, faults, caller=caller, places=places, look=look)
            if base is not None:
                hands.results.update(base.faultless.results)
            stage = Stage(self.make_store(clock), self.saga, clock=clock, hands=hands)
            run = _Run(stage=stage, hands=hands, trigger=trigger, sandbox=sandbox, faults=faults)
            status, parked, why = run.to_its_end()
            after = look()
            self._refuse_used(hands)
            return self._played(run, before, after, base, status=status, parked=parked, why=why)
        finally:
            caller.end_scenario()

    def _played(
        self,
        run: "_Run",
        before: Snapshot,
        after: Snapshot,
        base: "_Base | None",
        *,
        status: str,
        parked: tuple[Park, ...],
        why: str,
    ) -> Played:
        calls = tuple(run.hands.made)
        for call in calls:
            path = base_path(call.path)
            if call.role == "step" and call.made and self.steps[path].acts:
                self.acted.update({path} if call.returned else ())
                self.seen.update({path} if call.changed else ())
        for path in {base_path(call.path) for call in calls if call.role == "undo" and call.made}:
            self.undone[path] = self.undone.get(path, 0) + 1
        faultless = None
        if base is not None and base.faultless.ending.status == "completed":
            faultless = differences(base.faultless.after, after, ignore=base.ignore)
        ending = Ending(
            status=status,
            parked=parked,
            calls=calls,
            from_before=differences(before, after, ignore=self.sandbox.ignore),
            from_faultless=faultless,
            why=why,
        )
        course = Course(calls=calls, entries=run.entries)
        return Played(ending=ending, course=course, after=after, results=run.hands.results)

    def _refuse_strangers(self, places: dict[str, str | None]) -> None:
        """Before anything runs: each connector that a step names must have a stand-in."""
        for handler in self.saga.handlers.values():
            if hasattr(handler.dependency, "certainty") and handler.dependency_name not in places:
                raise _stranger(str(handler.dependency_name), handler.name)

    def _refuse_used(self, hands: Hands) -> None:
        if hands.strangers:
            raise _stranger(hands.strangers[0], "a handler")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """The run without faults, and where two of them differ."""

    faultless: Played
    ignore: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run on its stage."""

    stage: Stage
    hands: Hands
    trigger: Trigger
    sandbox: Sandbox
    faults: tuple[Fault, ...]
    deaths: int = 0
    answered: set[tuple[str, str, str]] = field(default_factory=set)
    over: bool = False
    """Whether its faults are."""

    def to_its_end(self) -> tuple[str, tuple[Park, ...], str]:
        """Go on until it ends, a person trying again what its fault parked. Status, parks, and why it is stuck."""
        self.stage.publish(self.trigger)
        if not self._unanswered:
            for message in self.sandbox.messages:
                self.stage.send(message.type, message.key, message.body)
        parks: list[Park] = []
        for _ in range(RETRIES_MAX + 1):
            try:
                self._go()
            except RuntimeError as error:
                return "stuck", tuple(parks), str(error)
            state = self._state()
            if self._row_is_quarantined():
                return "stuck", tuple(parks), "its state cannot be decided: it is quarantined"
            if state.parked is None:
                ended = state.status if state.closed else "stuck"
                return ended, tuple(parks), f"it is {state.status}"
            park = _park_of(state)
            parks.append(park)
            if self.over or not is_expected(self.faults, park):
                return "parked", tuple(parks), park.why
            self._end_faults()
            wish = wishes.Resolve(
                actor=ACTOR,
                saga_id=state.saga_id,
                step=state.parked.step,
                resolution="retry",
                reason="rehearsed",
                evidence=None,
            )
            self.stage.wish(wish)
        return "parked", tuple(parks), parks[-1].why

    def _end_faults(self) -> None:
        """From here on nothing fails; what nobody sent before comes now."""
        silent = self._unanswered
        self.over = True
        self.hands.faults.over()
        for message in self.sandbox.messages if silent else ():
            self.stage.send(message.type, message.key, message.body)

    @property
    def entries(self) -> int:
        (row,) = self.stage.store.runs(limit=1)
        return row.version

    def _go(self) -> None:
        """Until nothing is left to do; the coordinator that dies is replaced by one that knows only the store."""
        while True:
            try:
                self.stage.run()
                while True:
                    if self._answers():
                        self.stage.run()
                    elif self._waits():
                        self.stage.run(until=self.stage.engine.next_due())
                    else:
                        return
            except CoordinatorDied:
                self.deaths += 1
                if self.deaths > DEATHS_MAX:
                    raise
                self._replace()

    def _replace(self) -> None:
        while True:
            try:
                self.stage.crash()
                if not self.stage.store.runs(limit=1):
                    self.stage.publish(self.trigger)
                self.stage.take_inbox()
                return
            except CoordinatorDied:
                continue

    def _answers(self) -> bool:
        """Bring what the run waits for and the sandbox knows; whether there was any."""
        if self.sandbox.answer is None or self._unanswered:
            return False
        sent = False
        for row in self.stage.store.awaited(limit=MESSAGES_MAX):
            known = (row.path, row.type, row.correlation_key)
            if known not in self.answered:
                self.answered.add(known)
                body = self.hands.content(self.sandbox.answer, row.type, row.correlation_key)
                if body is not None:
                    self.stage.send(row.type, row.correlation_key, body)
                    sent = True
        return sent

    @property
    def _unanswered(self) -> bool:
        return any(fault.kind == "unanswered" for fault in self.faults) and not self.over

    def _waits(self) -> bool:
        rows = self.stage.store.runs(limit=1)
        return bool(rows) and rows[0].status == "waiting" and self.stage.engine.next_due() is not None

    def _row_is_quarantined(self) -> bool:
        (row,) = self.stage.store.runs(limit=1)
        return row.quarantined

    def _state(self) -> State:
        rows = self.stage.store.runs(limit=1)
        if not rows:
            letters = self.stage.store.dead_letters(limit=1)
            why = f"{letters[0].reason}: {letters[0].detail}" if letters else "it was not taken"
            raise UsageError("AM5108", f"the trigger becomes no run: {why}", do="mend the trigger of the sandbox")
        return fold(decode(stored.data) for stored in self.stage.store.entries_of(rows[0].saga_id))


def _park_of(state: State) -> Park:
    assert state.parked is not None, "the run is parked"
    parked = state.parked
    return Park(path=parked.step, direction=parked_way(state), kind=parked.kind, why=parked.why)


def _stranger(name: str, where: str) -> UsageError:
    return UsageError(
        "AM5102",
        f"{where} acts on {name!r}, which has no stand-in: a rehearsal never reaches the real one",
        do=f"give the sandbox a stand-in for {name!r}",
    )
