"""Runs that sleep, kept as they are for a while: the next message to one of them need not fold its whole log again.

Nothing here is ever ahead of the store, and only the owner of a shard appends to its runs, so what was put away is what
would be loaded. The least lately used give way.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.runtime.runs import Run
from amends.schemas.ids import SagaId

SHELF_BYTES: Final = 64_000_000
EFFECT_BYTES: Final = 1_000
"""About what an effect takes in memory, beside its values."""


@dataclass(slots=True)
class Shelf:
    """Bounded by what its runs take, in bytes, about."""

    room_bytes: int = SHELF_BYTES
    _runs: OrderedDict[SagaId, tuple[Run, int]] = field(default_factory=OrderedDict)

    def put(self, run: Run) -> None:
        """Keep a run that is open, waits, and is in the store as it is here.

        One that is sealed is not kept: a key that is erased is gone from memory with its run.
        """
        if run.seal is not None:
            return
        size_bytes = _size_bytes_of(run)
        self._runs[run.saga_id] = (run, size_bytes)
        self.room_bytes -= size_bytes
        while self.room_bytes < 0:
            _, (_, freed_bytes) = self._runs.popitem(last=False)
            self.room_bytes += freed_bytes

    def take(self, saga_id: SagaId) -> Run | None:
        """The run, which is not kept any more from now on; None where it must be loaded."""
        run, size_bytes = self._runs.pop(saga_id, (None, 0))
        self.room_bytes += size_bytes
        return run

    def forget(self, shards: Collection[int]) -> None:
        """Somebody else appends to their runs now."""
        for saga_id in [saga_id for saga_id, (run, _) in self._runs.items() if run.shard in shards]:
            self.take(saga_id)


def _size_bytes_of(run: Run) -> int:
    effects = len(run.state.forward) + len(run.state.undo)
    return effects * EFFECT_BYTES + sum(map(len, run.payloads.values()))
