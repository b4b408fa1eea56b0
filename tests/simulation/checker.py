"""Invariants of one run, held against its log and the participants' ledger (numbers as in the list of invariants).

The checker folds events by itself: it shares no code with what it judges but the event types.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.schemas import events as e
from amends.schemas.entry import Entry
from amends.schemas.events import Digest, Event
from amends.schemas.instants import Instant, instant_of
from amends.schemas.outcome import Outcome
from tests.simulation.outcomes import Outcomes
from tests.simulation.pendings import Pendings
from tests.simulation.proofs import Proofs
from tests.simulation.telling import told
from tests.simulation.world import World

_ENDED: Final[dict[type[Event], str]] = {
    e.SagaCompleted: "completed",
    e.SagaCompensated: "compensated",
    e.SagaKilled: "killed",
}
"""Which event ends a run how."""

_LATE_READ_BACK: Final = e.VerificationRequested | e.OutcomeAmended | e.RunResumed
"""That one is asked, what it says, and that a stop cut it off."""
_AFTER_THE_END: Final = e.LateReplyRecorded | e.StepPending | e.AnswerReceived | e.EvidenceRecorded | _LATE_READ_BACK
"""What may follow the end: what a reply says, that one is promised, that it came, what is read back later, by what."""


class InvariantBroken(AssertionError):
    """What must always hold did not."""


@dataclass(slots=True, kw_only=True)
class Checker:
    """Fed entry by entry; `finish` looks at the world."""

    plan: Plan
    payload: Callable[[Digest], bytes | None] = lambda _digest: None
    """What a digest stands for, where the checker may look at it."""
    events: list[Event] = field(default_factory=list)
    ended_by: Event | None = None
    ended_at: Instant | None = None
    cause_seen: bool = False
    compensating: bool = False
    parked: bool = False
    order: dict[str, int] = field(default_factory=dict)
    stands: dict[str, bool] = field(default_factory=dict)
    """By step: whether its effect is, or may be, in the world, as the log tells it."""
    doubtful: set[str] = field(default_factory=set)
    open_attempts: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    """Waits that have begun and are not over."""
    left: set[str] = field(default_factory=set)
    """Steps that a person left in the world."""
    expected: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    undoing: str | None = None
    savepoint: str | None = None
    succeeded: set[str] = field(default_factory=set)
    """Steps of which a success is known that was not asked for again."""
    skipped: set[str] = field(default_factory=set)
    guessed: set[str] = field(default_factory=set)
    """Steps of which nobody knows what they did: so they were settled, or a person left them."""
    at_own_risk: set[str] = field(default_factory=set)
    """Steps that a person had sent again though nothing could settle whether they had happened."""
    requests: int = 0
    """Requests beyond those that a person sent at their own risk."""
    limited: bool = False
    extensions: int = 0
    intents: set[tuple[str, str, int, str | None]] = field(default_factory=set)
    pendings: Pendings = field(init=False)
    proofs: Proofs = field(init=False)
    outcomes: Outcomes = field(init=False)

    def __post_init__(self) -> None:
        self.pendings = Pendings(plan=self.plan, require=self.require)
        self.proofs = Proofs(plan=self.plan, require=self.require, payload=self.payload)
        self.outcomes = Outcomes(require=self.require)

    def entry(self, entry: Entry) -> None:
        """Check one more entry."""
        by_person = any(isinstance(event, e.ParkingResolved) for event in entry.events)
        for event in entry.events:
            self.events.append(event)
            self.pendings.event(event)
            self.proofs.event(event, instant_of(entry.at))
            self._event(event, instant_of(entry.at), by_person=by_person)

    def outcome(self, outcome: Outcome, entry: Entry) -> None:
        """Check what is published of an entry."""
        status = "parked" if self.ended_by is None else _ENDED[type(self.ended_by)]
        self.outcomes.published(outcome, entry, status=status, proof=self.proofs.proof)

    def require(self, holds: bool, rule: str, why: str) -> None:  # noqa: FBT001  a sentence reads best this way
        if not holds:
            story = "\n  ".join(told(event) for event in self.events)
            raise InvariantBroken(f"{rule}: {why}; the story so far:\n  {story}")

    def _event(self, event: Event, at: Instant, *, by_person: bool) -> None:
        if self.ended_by is not None:
            self.require(isinstance(event, _AFTER_THE_END), "S11", f"{told(event)} after the end")
            return
        match event:
            case e.StepRequested():
                self._requested(event, by_person=by_person)
            case e.UndoRequested():
                self._undo_requested(event, by_person=by_person)
            case e.UndoVerified():
                self._undo_verified(event)
            case e.DrainStarted():
                whole = not self.proofs.begun or self.savepoint is not None
                self.require(whole, "S8", f"{told(event)} when everything is done, and only its proof is looked for")
                self.cause_seen = True
                self.parked = False
                self.savepoint = None
                self.compensating = False
            case e.CompensationStarted():
                self._compensation(event)
            case e.SagaParked():
                self.parked = True
            case e.ParkingResolved():
                self._resolved(event)
            case e.SagaCompleted() | e.SagaCompensated() | e.SagaKilled():
                self._ended(event, at)
            case _:
                self._way(event)

    def _way(self, event: Event) -> None:
        match event:
            case e.RunResumed() if event.why == "pivot_passed":
                self.cause_seen = False
            case e.LimitReached():
                self.limited = True
            case e.SavepointChosen():
                self.parked, self.cause_seen = False, True
                self.savepoint = event.step
                self.extensions += self.limited
                self.limited = False
            case e.SavepointReached():
                self._reached(event)
            case e.ExpectationChecked():
                self.stands[event.path] = True  # It is done, whatever came of it.
            case e.WaitStarted() | e.MessageReceived() | e.StepSkipped():
                self._waited(event)
            case _:
                self._step(event)

    def _waited(self, event: e.WaitStarted | e.MessageReceived | e.StepSkipped) -> None:
        """A wait begins as any forward request does, and takes one message, while it waits."""
        match event:
            case e.WaitStarted():
                self.require(not self.compensating, "S8", f"{told(event)} during the compensation")
                self.require(not self.parked, "S9", f"{told(event)} while parked")
                self.require(not self.cause_seen, "S8", f"{told(event)} in the drain")
                self.order[event.path] = len(self.events)
                self.waiting.add(event.path)
            case e.MessageReceived():
                self.require(event.path in self.waiting, "rule 2", f"{told(event)}, which does not wait")
                self.require(not self.cause_seen, "S8", f"{told(event)} after the run turned back")
                self.waiting.discard(event.path)
            case e.StepSkipped():
                self.waiting.discard(event.path)
                self.skipped.add(event.path)

    def _step(self, event: Event) -> None:
        match event:
            case e.StepSucceeded():
                self.require(not self.compensating, "S8", f"{told(event)} during the compensation")
                self.require(event.path not in self.succeeded, "S11", f"{told(event)} a second time")
                self.succeeded.add(event.path)
                self.stands[event.path] = True
                self._settled(event.path)
            case e.StepVerified():
                self.stands[event.path] = True
                self._settled(event.path)
            case e.StepFailed():
                self.require(not self.compensating, "S8", f"{told(event)} during the compensation")
                self.stands[event.path] = False
                self._settled(event.path)
            case e.StepInDoubt() if event.direction == "forward":
                self.doubtful.add(event.path)
                if not event.attempt_running:
                    self.open_attempts.discard(event.path)
            case e.StepSettled() if event.direction == "forward":
                self.stands[event.path] = event.state != "absent"
                self._settled(event.path)
                self.guessed |= {event.path} if event.state in {"ended", "tombstone"} else set()
            case e.LateReplyRecorded() if event.direction == "undo" and event.answer == "succeeded":
                if event.path in self.left:  # A person gave the undo up, and it has taken all the same.
                    self.left.discard(event.path)
                    self.undone.append(event.path)
            case e.GenerationRaised() if event.direction == "forward":
                self.stands[event.path] = False
                self._anew(event.path)

    def _anew(self, path: str) -> None:
        self.succeeded.discard(path)
        self.skipped.discard(path)

    def _settled(self, path: str) -> None:
        self.waiting.discard(path)
        self.guessed.discard(path)
        self.doubtful.discard(path)
        self.open_attempts.discard(path)

    def _within_the_limit(self, event: Event, *, by_person: bool) -> None:
        if by_person:
            return
        self.requests += 1
        allowed = self.plan.form.budget.attempts
        within = allowed is None or self.requests <= allowed * (1 + self.extensions)
        self.require(within, "rule 18", f"{told(event)} is request {self.requests} of {allowed}")

    def _requested(self, event: e.StepRequested, *, by_person: bool) -> None:
        self._within_the_limit(event, by_person=by_person)
        self.require(not self.compensating, "S8", f"{told(event)} during the compensation")
        self.require(not self.parked, "S9", f"{told(event)} while parked")
        self.require(not self.cause_seen or event.same_request, "S8", f"{told(event)} in the drain")
        if self.plan.steps[event.path].pivot:
            others = (self.open_attempts | self.doubtful) - {event.path}
            busy = {path for path in others if self.plan.steps[path].acts}
            self.require(not busy, "rule 11", f"{told(event)} while {busy} in flight")
        if by_person and event.same_request:
            self.at_own_risk.add(event.path)
        self.order[event.path] = len(self.events)
        self._anew(event.path)
        self.open_attempts.add(event.path)
        self.intents.add((event.path, "forward", event.attempt, event.idempotency_key))
        self.left.discard(event.path)

    def _undo_requested(self, event: e.UndoRequested, *, by_person: bool) -> None:
        self._within_the_limit(event, by_person=by_person)
        self.require(self.compensating, "S8", f"{told(event)} before the compensation")
        self.require(not self.parked, "S9", f"{told(event)} while parked")
        self.require(event.path not in self.open_attempts, "S21", f"{told(event)} while its step's attempt runs")
        rest = [path for path in self.expected if path not in self.undone and path not in self.left]
        self.require(bool(rest) and rest[0] == event.path, "S7", f"{told(event)} out of turn, {rest} remain")
        if by_person and event.same_request:
            self.at_own_risk.add(event.path)
        self.intents.add((event.path, "undo", event.attempt, event.idempotency_key))

    def _undo_verified(self, event: e.UndoVerified) -> None:
        rest = [path for path in self.expected if path not in self.undone and path not in self.left]
        self.require(bool(rest) and rest[0] == event.path, "S7", f"{told(event)} out of turn, {rest} remain")
        self.undone.append(event.path)

    def _compensation(self, event: e.CompensationStarted) -> None:
        self.require(self.cause_seen, "S8", "the compensation began without a cause")
        doubtful = {path for path in self.doubtful - self.left if self.plan.steps[path].acts}
        self.require(not doubtful, "S6", f"{doubtful} in doubt when the compensation began")
        running = {path for path in self.open_attempts - self.left if self.plan.steps[path].acts}
        self.require(not running, "S21", f"{running} running when the compensation began")
        pivot = self.plan.pivot
        if pivot is not None:
            passed = self.stands.get(pivot.path, False) and pivot.path not in self.left
            self.require(not passed, "S10", "the compensation began behind the pivot")
        acting = {path for path, stands in self.stands.items() if stands and self.plan.steps[path].acts}
        acting -= self.left
        if self.savepoint is not None:
            acting = {path for path in acting if self._is_behind(path, self.savepoint)}
        self.expected = sorted(acting, key=self.order.__getitem__, reverse=True)
        self.require(
            list(event.undo_list) == self.expected, "S6 S7", f"the undo list is {event.undo_list}, not {self.expected}"
        )
        self.undone = [path for path in self.undone if path in self.expected]
        self.compensating = True

    def _is_behind(self, path: str, savepoint: str) -> bool:
        """Whether it was last requested after the savepoint, or needs something that was."""
        needed = self.plan.ancestors[path]
        later = {other for other in {path, *needed} if self.order.get(other, 0) > self.order[savepoint]}
        return path != savepoint and path not in self.plan.ancestors[savepoint] and bool(later or savepoint in needed)

    def _reached(self, event: e.SavepointReached) -> None:
        rest = [path for path in self.expected if path not in self.undone and path not in self.left]
        self.require(event.step == self.savepoint, "S7", f"{told(event)}, not {self.savepoint}")
        self.require(self.compensating and not rest, "S6", f"{rest} not undone")
        self.require(self.stands.get(event.step, True), "S12", f"{event.step} does not stand")
        self._forward_again()

    def against(self, world: World, entry: Entry, state: State) -> None:
        """Hold what an entry claims against the world. `state` is the run's after it."""
        for event in entry.events:
            match event:
                case e.SavepointReached():
                    self._at_savepoint(world)
                case e.OutcomeAmended(held=True):
                    stands = world.stands(event.path, state.effect(event.path, "forward").key)
                    so = stands == (event.direction == "forward")
                    self.require(so, "S12", f"{told(event)}, and it is not so")

    def _at_savepoint(self, world: World) -> None:
        """The run goes forward again: what was behind is undone in the world, and what was before stands."""
        exempt = self.at_own_risk | set(world.by_hand)
        for path in {path for path, step in self.plan.steps.items() if step.acts} - exempt:
            found = bool(world.standing.get(path))
            known = path in self.guessed or self.stands.get(path, False) == found
            self.require(known, "S12", f"at the savepoint {path} {'stands' if found else 'does not stand'}")

    def _resolved(self, event: e.ParkingResolved) -> None:
        self.parked = False
        self.extensions += self.limited
        self.limited = False
        if event.resolution == "skip":
            self.left.add(event.step)
            self._settled(event.step)
            self.guessed.add(event.step)
        elif event.resolution == "go_forward":
            self._forward_again()

    def _forward_again(self) -> None:
        self.compensating = False
        self.cause_seen = False
        self.savepoint = None
        for path in self.undone:
            self.stands[path] = False
            self.guessed.discard(path)
        self.undone, self.expected = [], []
        self.left = set()

    def _ended(self, event: Event, at: Instant) -> None:
        self.ended_by, self.ended_at = event, at
        if isinstance(event, e.SagaCompleted):
            missing = {path for path, step in self.plan.steps.items() if step.acts and not self.stands.get(path)}
            self.require(missing <= self.skipped, "S12", f"completed without {missing - self.skipped}")
        if isinstance(event, e.SagaCompensated):
            rest = set(self.expected) - set(self.undone) - self.left
            self.require(not rest, "S6", f"{rest} not undone")
            self.require(self.compensating, "S8", "compensated without a compensation")

    def finish(self, world: World) -> None:
        """Hold the log against the ledger once nothing is on its way any more."""
        for _, request in world.requests:
            known = (request.path, request.direction, request.attempt, request.key) in self.intents
            self.require(known, "S3", f"{request} without an intent")
        self.proofs.finish()
        exempt = self.at_own_risk | set(world.by_hand)
        effects = Counter((line.request.path, line.request.direction, line.request.key) for line in world.ledger)
        twice = {each for each, count in effects.items() if count > 1 and each[0] not in exempt}
        self.require(not twice, "S4", f"{twice} took effect more than once")
        if self.ended_at is None or isinstance(self.ended_by, e.SagaKilled):
            return
        for line in world.ledger:
            late = line.at > self.ended_at and line.request.path not in exempt | self.left
            self.require(not late, "S5", f"{line.request} took effect after the end")
        exempt |= world.meddled
        standing = {path: len(keys) for path, keys in world.standing.items() if keys and path not in exempt}
        if isinstance(self.ended_by, e.SagaCompensated):
            remains = standing.keys() - self.left
            self.require(not remains, "S12", f"{remains} stands after the compensation")
        else:
            wanted = {path for path, stands in self.stands.items() if stands and self.plan.steps[path].acts} - exempt
            found = {path: standing.get(path, 0) for path in wanted | set(standing)}
            self.require(all(found[path] == (path in wanted) for path in found), "S12", f"{found}, not one of {wanted}")
