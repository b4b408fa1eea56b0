"""Where scenarios are played: each in a world of its own, from the same beginning."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from msgspec.structs import replace

from amends.compensations.faults import Fault
from amends.compensations.judging import Ending, Park
from amends.compensations.scenarios import Course, StepFacts
from amends.compensations.worlds import World as Snapshot
from amends.compensations.worlds import differences
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.commanded import participants_of
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.store import Store
from amends.coordinator.testing.caller import Caller
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.facts import facts_of
from amends.coordinator.testing.post import TakesCommands, post_of
from amends.coordinator.testing.rehearsed_run import RehearsedRun
from amends.coordinator.testing.sandbox import Sandbox, Trigger
from amends.coordinator.testing.stage import Hands, Stage, hands_of

MakeStore = Callable[[Clock], Store]
"""A store in memory under this clock, ready to be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One scenario, played to its end."""

    ending: Ending
    course: Course
    after: Snapshot
    results: dict[tuple[str, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faultless:
    """The run without faults, which others are compared with, and where two of them differ or may."""

    played: Played
    ignore: tuple[str, ...]


@contextmanager
def theater(sandbox: Sandbox, make_store: MakeStore) -> Iterator["Theater"]:
    """For as long as scenarios of this sandbox are played."""
    caller = Caller()
    try:
        with sandbox.opened(), _quiet():
            saga = sandbox.saga.close()
            steps = facts_of(saga, sandbox)
            yield Theater(sandbox=sandbox, saga=saga, steps=steps, make_store=make_store, caller=caller)
    finally:
        caller.close()


@dataclass(slots=True, kw_only=True)
class Theater:
    """Plays one scenario after the other."""

    sandbox: Sandbox
    saga: ClosedSaga
    steps: Mapping[str, StepFacts]
    make_store: MakeStore
    caller: Caller
    played: int = 0

    def play(self, trigger: Trigger, faults: tuple[Fault, ...], base: Faultless | None = None) -> Played:
        """One scenario in a fresh world."""
        self.played += 1
        sandbox, caller = self.sandbox, self.caller
        try:
            places = caller.call("the sandbox's begin", sandbox.begin)
            self._refuse_strangers(places)

            def look() -> Snapshot:
                return caller.call("the sandbox's snapshot", sandbox.snapshot)

            before, clock = look(), Clock()
            late_ms = {step.handler: step.late_ms for step in self.steps.values()}
            post = post_of(clock, sandbox.stand_ins)
            hands = hands_of(clock, faults, caller=caller, places=places, post=post, look=look, late_ms=late_ms)
            if base is not None:
                hands.results.update(base.played.results)
            stage = Stage(self.make_store(clock), self.saga, clock=clock, hands=hands)
            run = RehearsedRun(stage=stage, hands=hands, trigger=trigger, sandbox=sandbox, faults=faults)
            status, parked, why = run.to_its_end()
            after = look()
            _refuse_used(hands)
            ending = replace(
                self._ending(hands, before, after, base, status=status, parked=parked, why=why),
                flags=run.flags,
                left_out=run.left_out,
            )
            course = Course(calls=ending.calls, entries=run.entries)
            return Played(ending=ending, course=course, after=after, results=hands.results)
        finally:
            caller.end_scenario()

    def _ending(
        self,
        hands: Hands,
        before: Snapshot,
        after: Snapshot,
        base: Faultless | None,
        *,
        status: str,
        parked: tuple[Park, ...],
        why: str,
    ) -> Ending:
        faultless = None
        if base is not None and base.played.ending.status == "completed":
            faultless = differences(base.played.after, after, ignore=base.ignore)
        return Ending(
            status=status,
            parked=parked,
            calls=tuple(hands.made),
            from_before=differences(before, after, ignore=self.sandbox.ignore),
            from_faultless=faultless,
            why=why,
        )

    def _refuse_strangers(self, places: dict[str, str | None]) -> None:
        """Before anything runs: each connector that a step names must have a stand-in, and one of its kind."""
        for handler in self.saga.handlers.values():
            if hasattr(handler.dependency, "certainty") and handler.dependency_name not in places:
                raise _stranger(str(handler.dependency_name), handler.name)
        commanded = {each.name for each in self.sandbox.stand_ins if isinstance(each, TakesCommands)}
        for each in participants_of(self.saga.handlers.values()):
            if each.name not in commanded:
                raise _takes_no_commands(each.name)


def _refuse_used(hands: Hands) -> None:
    if hands.strangers:
        raise _stranger(hands.strangers[0], "a handler")


def _stranger(name: str, where: str) -> UsageError:
    return UsageError(
        "AM5102",
        f"{where} acts on {name!r}, which has no stand-in: a rehearsal never reaches the real one",
        do=f"give the sandbox a stand-in for {name!r}",
    )


def _takes_no_commands(name: str) -> UsageError:
    return UsageError(
        "AM5102",
        f"{name!r} is commanded over the bus, and its stand-in takes no commands",
        do=f"give the sandbox a ParticipantStandIn for {name!r}",
    )


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
