"""One decision in the making: events so far and the state they lead to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from amends.coordinator.core.evolve import evolve
from amends.coordinator.core.moment import Moment
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.progress import Progress
from amends.coordinator.core.sources import source_of
from amends.coordinator.core.state import State
from amends.coordinator.definition.expression import Expression, holds
from amends.schemas.events import Digest, Event, FanOutPlanned, RoundPlanned, StepRequested, WaitStarted
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant

Payloads = Callable[[Digest], bytes]
"""Gives a payload's JSON text; conditions are evaluated over it."""


_PLANNING = (FanOutPlanned, RoundPlanned)
"""Events after which the run has other steps."""
_BEGINNING = frozenset({StepRequested, WaitStarted, *_PLANNING})
BEGUN_MAX = 300
"""Steps that one decision begins: its entry is to fit into its topic. The next one, at once, begins the others."""


def began_all_it_may(events: Sequence[Event]) -> bool:
    """Whether a decision may have left steps that could begin as well: nothing that was begun need tell of them."""
    return len(events) >= BEGUN_MAX and sum(type(event) in _BEGINNING for event in events) >= BEGUN_MAX


def never(_path: str) -> bool:
    """What only the timer brings about, which knows whether a message is on its way (rule 15)."""
    return False


@dataclass(slots=True, kw_only=True)
class Turn:
    """Local to one call of `decide`; the only thing in the core that changes."""

    plan: Plan
    state: State
    now: Instant
    payloads: Payloads
    events: list[Event] = field(default_factory=list)
    retry_after_ms: dict[tuple[str, Direction], int] = field(default_factory=dict)
    """The participant's wish, from the reply that is being decided."""
    progress: Progress = field(default_factory=Progress)
    """Of what is repeated."""
    begun: int = 0
    given_up: Callable[[str], bool] = never
    """Whether a wait for a message whose time is over is given up now."""

    def __post_init__(self) -> None:
        self.plan = self.plan.of(self.state)

    def emit(self, *events: Event) -> None:
        """Decide these events: they are folded at once, so what follows sees them."""
        for event in events:
            moment = Moment(self.now, self.state.version + 1, len(self.events))
            self.events.append(event)
            self.state = evolve(self.state, event, moment)
            self.begun += type(event) in _BEGINNING
            if isinstance(event, _PLANNING):
                self.plan = self.plan.of(self.state)
                self.progress.planned(event.path)
            if self.plan.origin is not None:
                self.progress.noticed(self.plan, self.state, getattr(event, "path", ""))

    @property
    def full(self) -> bool:
        """Whether it has begun as much as one decision may."""
        return self.begun >= BEGUN_MAX

    def holds(self, condition: Expression) -> bool:
        """Evaluate a condition over the trigger and the results so far."""
        return holds(condition, self.value)

    def value(self, step: str | None) -> object:
        """The decoded trigger, for None, or a step's result; None where there is none."""
        source = source_of(self.plan, self.state, step)
        if isinstance(source, tuple):
            return [self._decoded(digest) for digest in source]
        return self._decoded(source)

    def _decoded(self, digest: Digest | None) -> object:
        return msgspec.json.decode(self.payloads(digest)) if digest else None

    def has_handler(self, name: str) -> bool:
        """Whether this worker can run it (rule 14); if not, the run waits."""
        return name not in self.plan.missing
