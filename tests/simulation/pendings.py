"""What is pending, and who may answer for it, kept beside what the core says."""

from collections.abc import Callable
from dataclasses import dataclass, field

from amends.coordinator.core.plan import Plan
from amends.schemas import events as e
from amends.schemas.events import Event
from amends.schemas.ids import Direction
from tests.simulation.telling import told

Require = Callable[[bool, str, str], None]
Place = tuple[str, Direction]


@dataclass(slots=True, kw_only=True)
class Pendings:
    """Fed event by event."""

    plan: Plan
    require: Require
    requested: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """The last request, and its generation."""
    awaited: dict[Place, str] = field(default_factory=dict)
    """The key of the answer that may still come."""
    used: dict[str, tuple[Place, int, int]] = field(default_factory=dict)
    """Keys of answers, and which request, of which generation, each was for first."""

    def event(self, event: Event) -> None:
        """Check one more event."""
        match event:
            case e.StepRequested():
                self._requested((event.path, "forward"), event)
            case e.UndoRequested():
                self._requested((event.path, "undo"), event)
            case e.GenerationRaised():
                self.awaited.pop((event.path, event.direction), None)
            case e.StepVerified():
                self.awaited.pop((event.path, "forward"), None)
            case e.UndoVerified():
                self.awaited.pop((event.path, "undo"), None)
            case e.StepPending():
                self._pending(event)
            case e.AnswerReceived():
                self._answered(event)

    def _requested(self, place: Place, event: e.StepRequested | e.UndoRequested) -> None:
        self.requested[place] = (event.attempt, event.generation)
        self.awaited.pop(place, None)

    def _pending(self, event: e.StepPending) -> None:
        place = (event.path, event.direction)
        attempt, generation = self.requested[place]
        self.require(event.attempt == attempt, "rule 2", f"{told(event)}, attempt {event.attempt} of {attempt}")
        *first, first_attempt = self.used.setdefault(event.correlation, (place, generation, attempt))
        same = first == [place, generation] and (first_attempt == attempt or self._deduplicates(place))
        self.require(same, "rule 3", f"{told(event)} under the key of another request")
        self.awaited[place] = event.correlation

    def _deduplicates(self, place: Place) -> bool:
        path, direction = place
        step = self.plan.steps[path]
        promised = step.certainty if direction == "forward" or step.undo is None else step.undo.certainty
        return promised.deduplicates

    def _answered(self, event: e.AnswerReceived) -> None:
        place = (event.path, event.direction)
        same = self.awaited.get(place) == event.correlation
        self.require(same, "rule 2", f"{told(event)} under {event.correlation}, which nobody waits for")
        if event.answer != "unknown":
            del self.awaited[place]
