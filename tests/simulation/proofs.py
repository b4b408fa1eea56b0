"""What proves a run, kept beside what the core says of it: what was expected, and what is read back after the end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from amends.coordinator.core.plan import Plan
from amends.schemas import events as e
from amends.schemas.events import Digest, Event, Proof
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant, instant_of
from tests.simulation.telling import told

Require = Callable[[bool, str, str], None]
Place = tuple[str, Direction]


@dataclass(slots=True, kw_only=True)
class Planned:
    """A read-back after the end."""

    due_at: Instant
    number: int = 0
    held: bool | None = None


@dataclass(slots=True, kw_only=True)
class Proofs:
    """Fed event by event. `payload` gives what a digest stands for, None where that is not known."""

    plan: Plan
    require: Require
    payload: Callable[[Digest], bytes | None]
    asked: set[str] = field(default_factory=set)
    """What is expected that has been asked for, and has not been judged."""
    said: dict[str, bool] = field(default_factory=dict)
    """What their reads said, or a person."""
    judged: dict[str, bool] = field(default_factory=dict)
    believed: dict[Place, Instant] = field(default_factory=dict)
    """What is done on its participant's word and is to be read back later; since when."""
    planned: dict[Place, Planned] = field(default_factory=dict)
    ended_by: Event | None = None

    @property
    def begun(self) -> bool:
        """Whether it has been asked whether all is as expected."""
        return bool(self.asked or self.judged)

    @property
    def proof(self) -> Proof | None:
        """What an outcome has to say now."""
        if self.ended_by is None or isinstance(self.ended_by, e.SagaKilled):
            return None
        expected = self.judged.values() if isinstance(self.ended_by, e.SagaCompleted) else ()
        held = [*expected, *(each.held for each in self.planned.values())]
        if not held:
            return None
        if False in held:
            return "flagged"
        return "pending" if None in held else "proven"

    def event(self, event: Event, at: Instant) -> None:
        """Check one more event."""
        match event:
            case e.ExpectationChecked():
                self._checked(event)
            case e.VerificationPlanned():
                self._planned(event)
            case e.VerificationRequested():
                self._requested(event, at)
            case e.OutcomeAmended():
                self._amended(event)
            case e.SagaCompleted() | e.SagaCompensated() | e.SagaKilled():
                self._ended(event, at)
            case _:
                self._done(event, at)

    def finish(self) -> None:
        """Nothing more comes."""
        open_ones = [place for place, each in self.planned.items() if each.held is None]
        self.require(not open_ones, "L1", f"{open_ones} are never read back")

    def _done(self, event: Event, at: Instant) -> None:
        match event:
            case e.StepRequested() if self._expected(event.path):
                self.asked.add(event.path)
            case e.StepSucceeded() if self._expected(event.path):
                value = self.payload(event.result)
                if value is not None:
                    self.said[event.path] = value == b"true"
            case e.StepVerified(by="person"):
                self.said[event.path] = True
                self.believed.pop((event.path, "forward"), None)
            case e.UndoVerified(by="person"):
                self.believed.pop((event.path, "undo"), None)
            case e.StepSucceeded() | e.StepSettled(state="present", direction="forward"):
                self._believe((event.path, "forward"), at)
            case e.UndoSucceeded():
                self._believe((event.path, "undo"), at)
            case e.GenerationRaised():
                self.believed.pop((event.path, event.direction), None)
                if event.direction == "forward":
                    self.asked.discard(event.path)
                    self.said.pop(event.path, None)
                    self.judged.pop(event.path, None)

    def _expected(self, path: str) -> bool:
        return self.plan.steps[path].kind == "expect"

    def _believe(self, place: Place, at: Instant) -> None:
        if self._after_ms(place):
            self.believed[place] = at

    def _after_ms(self, place: Place) -> int:
        """How long after it is done it is read back; 0 where it is not, or at once."""
        path, direction = place
        step = self.plan.steps[path]
        verify = step.verify if direction == "forward" else step.undo.verify if step.undo is not None else None
        return 0 if verify is None else verify.verify_after_ms

    def _checked(self, event: e.ExpectationChecked) -> None:
        self.require(event.path not in self.judged, "S11", f"{told(event)} a second time")
        said = self.said.get(event.path)
        self.require(said is None or said == event.held, "S11", f"{told(event)}, and its read said {said}")
        self.require(event.path in self.asked or not event.held, "S11", f"{told(event)}, and nobody asked")
        self.asked.discard(event.path)
        self.judged[event.path] = event.held

    def _planned(self, event: e.VerificationPlanned) -> None:
        place = (event.path, event.direction)
        self.require(place in self.believed, "rule 9", f"{told(event)}: it is not done on somebody's word")
        self.require(place not in self.planned, "S11", f"{told(event)} twice")
        due_at = instant_of(event.due_at)
        soonest = self.believed[place] + self._after_ms(place) * MILLISECOND
        self.require(due_at >= soonest, "rule 9", f"{told(event)} at {event.due_at}, too soon")
        self.planned[place] = Planned(due_at=due_at)

    def _ended(self, event: Event, at: Instant) -> None:
        self.ended_by = event
        direction = {e.SagaCompleted: "forward", e.SagaCompensated: "undo"}.get(type(event))
        wanted = {place for place in self.believed if place[1] == direction}
        self.require(set(self.planned) == wanted, "rule 9", f"{set(self.planned)} are read back later, not {wanted}")
        for place, each in self.planned.items():
            latest = at + self._after_ms(place) * MILLISECOND
            self.require(at <= each.due_at <= latest, "rule 9", f"{place} is not read back in its time")
        if isinstance(event, e.SagaCompleted):
            expected = {path for path in self.plan.steps if self._expected(path)}
            unknown = expected - self.judged.keys()
            self.require(not unknown, "S11", f"completed before {unknown} is known")

    def _requested(self, event: e.VerificationRequested, at: Instant) -> None:
        planned = self._open(event, (event.path, event.direction))
        self.require(self.ended_by is not None, "rule 9", f"{told(event)} before the end")
        self.require(event.number == planned.number + 1, "S4", f"{told(event)}: question {event.number}")
        self.require(at >= planned.due_at, "rule 9", f"{told(event)} before its instant")
        planned.number = event.number

    def _amended(self, event: e.OutcomeAmended) -> None:
        planned = self._open(event, (event.path, event.direction))
        self.require(planned.number > 0, "S11", f"{told(event)}, and nobody asked")
        planned.held = event.held

    def _open(self, event: Event, place: Place) -> Planned:
        planned = self.planned.get(place)
        self.require(planned is not None, "rule 9", f"{told(event)}, which is not planned")
        assert planned is not None, "that was required"
        self.require(planned.held is None, "S11", f"{told(event)}, which is known already")
        return planned
