"""Rehearsing a saga: it is run in its sandbox, and failed, doubted and crashed at every moment, one at a time."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from amends.compensations.faults import Fault
from amends.compensations.judging import Finding, judge
from amends.compensations.scenarios import (
    Scenario,
    StepFacts,
    base_path,
    forward_scenarios,
    turn_of,
    turned_scenarios,
)
from amends.compensations.worlds import differences
from amends.coordinator.errors import UsageError
from amends.coordinator.testing.facts import places_of
from amends.coordinator.testing.report import Rehearsal
from amends.coordinator.testing.sandbox import Sandbox, Trigger
from amends.coordinator.testing.theater import Faultless, MakeStore, Played, Theater, theater

UNSTEADY_SHOWN: Final = 5
SCENARIOS_MAX: Final = 5_000
TIME_S_MAX: Final = 600.0

Progress = Callable[[int, int], None]


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

    Raises `UsageError`: AM5102 for a participant without stand-in, AM5103 to AM5108 for what cannot be rehearsed.
    """
    with theater(sandbox, make_store) as place:
        rehearsing = _Rehearsing(
            theater=place,
            scenarios_max=scenarios_max,
            ends_at=time.monotonic() + time_s_max,
            progress=progress,
        )
        return rehearsing.all(triggers_of(sandbox, triggers))


def triggers_of(sandbox: Sandbox, given: Sequence[Trigger] | None) -> tuple[Trigger, ...]:
    """Those given, else the sandbox's own. Raises `UsageError` (AM5107) where there are none."""
    triggers = tuple(sandbox.triggers if given is None else given)
    if not triggers:
        raise UsageError(
            "AM5107",
            f"there is no trigger to rehearse {sandbox.saga.name!r} with",
            do="give the sandbox triggers=[…], or one by --trigger",
        )
    return triggers


@dataclass(slots=True, kw_only=True)
class _Rehearsing:
    theater: Theater
    scenarios_max: int
    ends_at: float
    progress: Progress
    found: dict[tuple[object, ...], Finding] = field(default_factory=dict)
    planned: int = 0
    cut: int = 0
    seen: set[str] = field(default_factory=set)
    """Steps whose effect some snapshot showed."""
    acted: set[str] = field(default_factory=set)
    undone: dict[str, int] = field(default_factory=dict)
    """In how many scenarios a step's undo really ran."""

    @property
    def steps(self) -> Mapping[str, StepFacts]:
        return self.theater.steps

    def all(self, triggers: tuple[Trigger, ...]) -> Rehearsal:
        """Every trigger in every scenario."""
        for number, trigger in enumerate(triggers, start=1):
            self._rehearse(trigger, number)
        self._unseen()
        if self.cut:
            why = f"{self.scenarios_max} are the limit" if self._full else "the time is up"
            message = f"{self.cut} scenarios were left out: {why}"
            self._add(Finding(kind="limit", step="", handler="", message=message, when=""))
        saga = self.theater.saga
        return Rehearsal(
            saga=saga.name,
            version=saga.version,
            triggers=len(triggers),
            scenarios=self.theater.played,
            steps=tuple(self.steps.values()),
            findings=tuple(self.found.values()),
            places=places_of(saga),
            undone=self.undone,
        )

    @property
    def _full(self) -> bool:
        return self.theater.played >= self.scenarios_max

    def _rehearse(self, trigger: Trigger, number: int) -> None:
        first, second = self._play(trigger, ()), self._play(trigger, ())
        ignore = self.theater.sandbox.ignore
        unsteady = tuple(each.path for each in differences(first.after, second.after, ignore=ignore))
        if unsteady:
            shown = ", ".join(unsteady[:UNSTEADY_SHOWN])
            message = f"two runs without faults leave different worlds at {shown}: not compared there"
            self._add(Finding(kind="unsteady", step="", handler="", message=message, when="nothing fails"))
        if first.ending.status not in {"completed", "compensated"}:
            return
        base = Faultless(played=first, ignore=(*ignore, *unsteady))
        scenarios = list(self._scenarios(trigger, number, base))
        self.planned += len(scenarios)
        for scenario in scenarios:
            if self._full or time.monotonic() > self.ends_at:
                self.cut += 1
                continue
            self._play(trigger, scenario.faults, base)
            self.progress(self.theater.played, self.planned)

    def _scenarios(self, trigger: Trigger, number: int, base: Faultless) -> Iterator[Scenario]:
        """All of one trigger, each once, in an order that tells the plain ones first."""
        course = base.played.course
        found = list(forward_scenarios(course, self.steps, number))
        turns = turn_of(course.calls, self.steps)
        found += [Scenario(trigger=number, faults=(turn,)) for turn in turns]
        if base.played.ending.status == "compensated":
            found += turned_scenarios(course, self.steps, number, ())
        elif turns:
            turned = self.theater.play(trigger, turns[-1:], base)
            found += turned_scenarios(turned.course, self.steps, number, turns[-1:])
        yield from dict.fromkeys(found)

    def _play(self, trigger: Trigger, faults: tuple[Fault, ...], base: Faultless | None = None) -> Played:
        """Play a scenario, and hear what it says."""
        played = self.theater.play(trigger, faults, base)
        for call in played.course.calls:
            path = base_path(call.path)
            if call.role == "step" and call.made and self.steps[path].acts:
                self.acted.update({path} if call.returned else ())
                self.seen.update({path} if call.changed else ())
        for path in {base_path(call.path) for call in played.course.calls if call.role == "undo" and call.made}:
            self.undone[path] = self.undone.get(path, 0) + 1
        for finding in judge(faults, played.ending, self.steps):
            self._add(finding)
        return played

    def _add(self, finding: Finding) -> None:
        known = self.found.get(finding.key)
        if known is not None:
            finding = replace(known, scenarios=known.scenarios + 1, carried=known.carried or finding.carried)
        self.found[finding.key] = finding

    def _unseen(self) -> None:
        for path in sorted(self.acted - self.seen):
            step = self.steps[path]
            if not step.unseen:
                message = f"no snapshot shows what {path!r} does, so nobody can tell whether it is undone"
                self._add(
                    Finding(kind="unseen", step=path, handler=step.handler, message=message, when="nothing fails")
                )
