"""A saga crashed at every entry and around every effect, once each: it must come to one and the same end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from amends.compensations.faults import DEATHS, all_said
from amends.compensations.scenarios import Scenario, forward_scenarios, turned_scenarios
from amends.compensations.worlds import Difference, differences
from amends.coordinator.testing.rehearsing import SCENARIOS_MAX, triggers_of
from amends.coordinator.testing.sandbox import Sandbox, Trigger
from amends.coordinator.testing.theater import MakeStore, Theater, theater

SHOWN_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEnd:
    """A crash after which the run ended in another way, or left another world, than without."""

    trigger: int
    when: str
    status: str
    expected: str
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        ended = f", and ends {self.status} instead of {self.expected}" if self.status != self.expected else ""
        shown = "; ".join(map(str, self.differences[:SHOWN_MAX]))
        return f"when {self.when}{ended}{f': {shown}' if shown else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashMatrix:
    """How often a saga was crashed, and where that made a difference. `str` is the report."""

    saga: str
    crashes: int
    others: tuple[OtherEnd, ...]
    left_out: int = 0
    """Crashes beyond the limit."""

    @property
    def ok(self) -> bool:
        """Whether all came to one end, and none was left out."""
        return not self.others and not self.left_out

    def __str__(self) -> str:
        if self.ok:
            return f"✔ {self.saga}: {self.crashes} crashes, one final world"
        lines = [f"✖ {self.saga}: {len(self.others)} of {self.crashes} crashes made a difference"]
        lines += [f"    {self.left_out} more were left out: raise the limit"] if self.left_out else []
        return "\n".join([*lines, *(f"    {other}" for other in self.others)])


def crash_matrix(
    sandbox: Sandbox,
    *,
    make_store: MakeStore,
    triggers: Sequence[Trigger] | None = None,
    scenarios_max: int = SCENARIOS_MAX,
) -> CrashMatrix:
    """Crash the coordinator of the sandbox's saga before and after every effect and every entry, with each trigger.

    Raises `UsageError` as a rehearsal does.
    """
    with theater(sandbox, make_store) as place:
        crashes, left_out, others = 0, 0, []
        for number, trigger in enumerate(triggers_of(sandbox, triggers), start=1):
            course = _Course(place, trigger, number)
            for scenario in course.deaths:
                if crashes >= scenarios_max:
                    left_out += 1
                    continue
                crashes += 1
                other = course.crashed(scenario)
                others += [] if other is None else [other]
        return CrashMatrix(saga=sandbox.saga.name, crashes=crashes, others=tuple(others), left_out=left_out)


class _Course:
    """The run of one trigger without a crash, and with each of them."""

    def __init__(self, place: Theater, trigger: Trigger, number: int) -> None:
        self._place, self._trigger, self._number = place, trigger, number
        self._first, second = place.play(trigger, ()), place.play(trigger, ())
        between = differences(self._first.after, second.after, ignore=place.sandbox.ignore)
        self._ignore = (*place.sandbox.ignore, *(each.path for each in between))
        steps, course = place.steps, self._first.course
        planned = (*forward_scenarios(course, steps, number), *turned_scenarios(course, steps, number, ()))
        self.deaths = [each for each in dict.fromkeys(planned) if each.faults[-1].kind in DEATHS]

    def crashed(self, scenario: Scenario) -> OtherEnd | None:
        """The end of this scenario, if it is another."""
        played = self._place.play(self._trigger, scenario.faults)
        found = differences(self._first.after, played.after, ignore=self._ignore)
        status, expected = played.ending.status, self._first.ending.status
        if not found and status == expected:
            return None
        return OtherEnd(
            trigger=self._number, when=all_said(scenario.faults), status=status, expected=expected, differences=found
        )
