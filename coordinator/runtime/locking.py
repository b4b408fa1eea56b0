"""What an entry changes in the store's rows of locks: places taken with the start, given up with the end (rule 16)."""

from collections.abc import Iterator, Sequence

from amends.coordinator.core.state import State
from amends.coordinator.ports.rows import LocksLeft, LocksWanted
from amends.schemas.events import Event, LockReleased, LocksRequested


def lock_changes(state: State, events: Sequence[Event], *, shard: int) -> Iterator[LocksWanted | LocksLeft]:
    """Of a run whose definition has locks. `state` is the one after the entry."""
    for event in events:
        if isinstance(event, LocksRequested):
            yield LocksWanted(saga_id=state.saga_id, shard=shard, keys=event.keys, at=state.at)
        elif isinstance(event, LockReleased):
            yield LocksLeft(saga_id=state.saga_id, keys=(event.key,), at=state.at)
    if state.closed:
        yield LocksLeft(saga_id=state.saga_id, keys=None, at=state.at)
