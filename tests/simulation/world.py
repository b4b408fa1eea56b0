"""Participants that keep their promises and nothing else, and their own ledger of what was done to them.

The ledger is the ground truth: it is written by the participants, never by what is being tested.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.definition.form import Certainty
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant

Verdict = Literal["done", "refused", "unavailable"]
"""Whoever knows the key says the same of it for as long as he does."""
LATE_MS_MAX: Final = 600_000


class Request(NamedTuple):
    """One request on its way to a participant."""

    path: str
    direction: Direction
    attempt: int
    key: str
    undoes: str
    """The key of the forward effect that an undo reverses."""


class Applied(NamedTuple):
    """One line of the ledger: an effect took."""

    at: Instant
    request: Request


@dataclass(slots=True, kw_only=True)
class World:
    """What is in the world, by step and key."""

    plan: Plan
    requests: list[tuple[Instant, Request]] = field(default_factory=list)
    ledger: list[Applied] = field(default_factory=list)
    standing: dict[str, set[str]] = field(default_factory=dict)
    """Keys of the effects that stand, by step."""
    closed_by_hand: set[str] = field(default_factory=set)
    """Keys a person made sure of: whatever arrives under them does nothing."""
    by_hand: list[str] = field(default_factory=list)
    """Steps whose effect a person did or undid."""
    meddled: set[str] = field(default_factory=set)
    """Steps whose effect somebody else changed after the end."""
    changed_at: dict[str, Instant] = field(default_factory=dict)
    """When a step's effect last took or was undone: for a while after that, a read-back may lag."""
    _seen: dict[str, tuple[Instant, Verdict]] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _tombstones: set[str] = field(default_factory=set)

    def deliver(self, request: Request, now: Instant, *, verdict: Verdict) -> Verdict:
        """The participant receives a request. `verdict` is what it decides if it has to decide."""
        self.requests.append((now, request))
        if request.key in self.closed_by_hand:
            return "refused"
        step, promised = self.plan.steps[request.path], self.certainty(request.path, request.direction)
        if request.key in self._tombstones:
            return "refused"
        if promised.deduplicates and request.key in self._seen:
            first_at, stored = self._seen[request.key]
            if promised.window_ms is None or now < first_at + promised.window_ms * MILLISECOND:
                return stored
        self._seen[request.key] = (now, verdict)
        if verdict == "done":
            if request.direction == "undo" and step.certainty.tombstones:
                self._tombstones.add(request.undoes)
            self._apply(request, now)
        return verdict

    def certainty(self, path: str, direction: Direction) -> Certainty:
        """What the participant promises of a step, or of its undo."""
        step = self.plan.steps[path]
        return step.certainty if direction == "forward" or step.undo is None else step.undo.certainty

    def late_ms(self, path: str, direction: Direction) -> int:
        """How late a request may land: within `settle_s` where an absence is believed, else as late as it likes."""
        promised = self.certainty(path, direction)
        believed = self.plan.reader(path, direction) is not None or not (
            promised.deduplicates or (promised.tombstones and direction == "forward")
        )
        believed = believed or (promised.tombstones and self.plan.reader(path, "undo") is not None)
        return promised.settle_ms if believed else LATE_MS_MAX

    def lands_at(self, request: Request, at: Instant, *, key_used_at: Instant | None) -> Instant:
        """No later than the participant remembers the request's key: that much it promises."""
        window_ms = self.certainty(request.path, request.direction).window_ms
        if window_ms is None or key_used_at is None:
            return at
        return min(at, key_used_at + window_ms * MILLISECOND - 1)

    def _apply(self, request: Request, now: Instant) -> None:
        if request.direction == "undo" and request.undoes not in self._done:
            return  # An undo of what never happened does nothing, as every undo must; a second undo does something.
        self.ledger.append(Applied(now, request))
        self.changed_at[request.path] = now
        keys = self.standing.setdefault(request.path, set())
        if request.direction == "forward":
            self._done.add(request.key)
            keys.add(request.key)
        else:
            keys.discard(request.undoes)

    def stands(self, path: str, key: str | None) -> bool:
        """What a truthful lookup says."""
        return key is not None and key in self.standing.get(path, set())

    def meddle(self, path: str, key: str) -> None:
        """Somebody who knows nothing of the run undoes the effect, or brings it back."""
        self.meddled.add(path)
        keys = self.standing.setdefault(path, set())
        (keys.discard if key in keys else keys.add)(key)

    def put_right(self, state: State) -> None:
        """A person does what the run is parked for, or undoes it, and sees to it that nothing late changes that."""
        assert state.parked is not None, "only a parked run is put right by hand"
        path = state.parked.step
        self.by_hand.append(path)
        stays = state.parked.phase == "forward" or self.plan.steps[path].pivot
        undoing = state.undo_list is not None
        self._put_right(path, state.effect(path, "forward").key, standing=not undoing and stays)
        if undoing and (undo_key := state.effect(path, "undo").key) is not None:
            self.closed_by_hand.add(undo_key)

    def _put_right(self, path: str, key: str | None, *, standing: bool) -> None:
        if key is None:
            return
        keys = self.standing.setdefault(path, set())
        (keys.add if standing else keys.discard)(key)
        self.closed_by_hand.add(key)
