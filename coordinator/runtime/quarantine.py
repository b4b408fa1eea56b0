"""Runs whose fold or decision raised: kept out of everything, and marked in `runs`; nothing is appended (rule 19)."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from amends.coordinator.ports.rows import RunChange
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.batching import OpenBatch, OwnedShard
from amends.coordinator.runtime.run_rows import change_of
from amends.coordinator.runtime.runs import Run
from amends.schemas.ids import SagaId

log = logging.getLogger("amends.quarantine")


@dataclass(slots=True, kw_only=True)
class Quarantine:
    """Held until its shard goes: the next owner tries anew, with what may be better code."""

    store: Store
    _shards: dict[SagaId, int] = field(default_factory=dict)
    _unmarked: dict[SagaId, Run | None] = field(default_factory=dict)
    """Those that the store does not know of yet; the run, if there was one to be folded."""

    def shard_of(self, saga_id: SagaId) -> int | None:
        """The shard of a run that is held here, None for any other run."""
        return self._shards.get(saga_id)

    def hold(self, saga_id: SagaId, shard: int, run: Run | None, error: Exception) -> None:
        """Leave a run alone from now on."""
        version = run.state.version if run is not None else None
        log.error("run_quarantined", extra={"saga_id": saga_id, "version": version}, exc_info=error)
        self._shards[saga_id] = shard
        self._unmarked[saga_id] = run

    @property
    def has_more(self) -> bool:
        """Whether the store is to be told of somebody."""
        return bool(self._unmarked)

    def mark(self, batch: OpenBatch, shards: Mapping[int, OwnedShard]) -> None:
        """Have the batch write down who is held here, unless the store has it."""
        for saga_id, run in self._unmarked.items():
            shard = shards.get(self._shards[saga_id])
            change = self._stored(saga_id) if run is None else change_of(run.state, None, quarantined=True)
            if shard is not None and change is not None:
                batch.quarantine(shard, change)

    def marked(self, batch: OpenBatch) -> None:
        """The batch is in the store."""
        for saga_id in batch.quarantined:
            self._unmarked.pop(saga_id, None)

    def forget(self, shards: Collection[int]) -> None:
        """The shards are not ours any more."""
        for saga_id in [saga_id for saga_id, shard in self._shards.items() if shard in shards]:
            del self._shards[saga_id]
            self._unmarked.pop(saga_id, None)

    def _stored(self, saga_id: SagaId) -> RunChange | None:
        row = self.store.run(saga_id)
        if row is None:
            return None
        return RunChange(
            saga_id=saga_id,
            status=row.status,
            cause=row.cause,
            version=row.version,
            updated_at=row.updated_at,
            ended_at=row.ended_at,
            next_due_at=None,
            waiting_for=row.waiting_for,
            quarantined=True,
        )
