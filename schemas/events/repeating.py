"""Steps that are done more than once: the items of a list, the rounds of a loop."""

from amends.schemas.events.base import Digest, EventStruct


class FanOutPlanned(EventStruct, frozen=True, kw_only=True):
    """A step is done once for each item of a list, which is frozen here: the item `keys[2]` is the copy `path[2]`."""

    path: str
    items: Digest
    keys: tuple[str, ...]


class FanOutEnded(EventStruct, frozen=True, kw_only=True):
    """Every item is done; those `failed`, by their places, had no effect, and the policy goes on without them."""

    path: str
    failed: tuple[int, ...]


class RoundPlanned(EventStruct, frozen=True, kw_only=True):
    """A loop goes on with another round, the first of which is 0, not before `due_at`."""

    path: str
    round: int
    due_at: str


class LoopEnded(EventStruct, frozen=True, kw_only=True):
    """A loop is over. `met`: its condition holds; else it has had all its rounds, and the run goes on without."""

    path: str
    rounds: int
    met: bool
