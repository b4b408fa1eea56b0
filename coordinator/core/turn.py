"""One decision in the making: events so far and the state they lead to."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from amends.coordinator.core.evolve import evolve
from amends.coordinator.core.moment import Moment
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.definition.expression import Expression, holds
from amends.schemas.events import Digest, Event
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant

Payloads = Callable[[Digest], bytes]
"""Gives a payload's JSON text; conditions are evaluated over it."""


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

    def emit(self, *events: Event) -> None:
        """Decide these events: they are folded at once, so what follows sees them."""
        for event in events:
            moment = Moment(self.now, self.state.version + 1, len(self.events))
            self.events.append(event)
            self.state = evolve(self.state, event, moment)

    def holds(self, condition: Expression) -> bool:
        """Evaluate a condition over the trigger and the results so far."""

        def value(step: str | None) -> object:
            digest = self.state.trigger if step is None else self.state.effect(step, "forward").result
            return msgspec.json.decode(self.payloads(digest)) if digest else None

        return holds(condition, value)

    def has_handler(self, name: str) -> bool:
        """Whether this worker can run it (rule 14); if not, the run waits."""
        return name not in self.plan.missing
