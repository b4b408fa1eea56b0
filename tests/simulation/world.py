"""Participants that keep their promises and nothing else, and their own ledger of what was done to them.

The ledger is the ground truth: it is written by the participants, never by what is being tested.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from amends.coordinator.core.plan import Plan
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant

Verdict = Literal["done", "refused"]


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
        step = self.plan.steps[request.path]
        promised = step.certainty if request.direction == "forward" or step.undo is None else step.undo.certainty
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

    def put_right_by_hand(self, path: str, key: str | None, *, standing: bool) -> None:
        """A person does it, or undoes it, and sees to it that nothing late changes that."""
        if key is None:
            return
        keys = self.standing.setdefault(path, set())
        (keys.add if standing else keys.discard)(key)
        self.closed_by_hand.add(key)
