"""Resuming runs after a stop: suspects first, one at a time, with nothing else running (rule 19)."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from amends.coordinator.core.messages import Recovered
from amends.coordinator.core.recovery import is_suspect
from amends.coordinator.core.waiting import waited_for
from amends.coordinator.ports.rows import Lease
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.loading import Loading, Unreadable
from amends.coordinator.runtime.quarantine import Quarantine
from amends.coordinator.runtime.runs import Run
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND

ALONE_US = 2 * SECOND

log = logging.getLogger("amends.resuming")


@dataclass(slots=True, kw_only=True)
class Resuming:
    """Which runs are still to be resumed, and which one is alone just now."""

    loading: Loading
    quarantine: Quarantine
    alone: SagaId | None = None
    _suspects: deque[Item] = field(default_factory=deque)
    _others: deque[Item] = field(default_factory=deque)

    @property
    def busy(self) -> bool:
        """Whether a suspect is at work or to come: nothing else is decided meanwhile."""
        return self.alone is not None or bool(self._suspects)

    @property
    def has_more(self) -> bool:
        """Whether runs are still to be resumed."""
        return bool(self._suspects or self._others)

    def begin(self, lease: Lease, runs: dict[SagaId, Run], sleeps: Callable[[Run], bool]) -> int:
        """Load the open runs of a shard that is ours from now on; how many there are.

        Those that `sleeps` takes stay out of memory: nothing ran for them that a stop could have cut off.
        """
        count = 0
        for run in self.loading.open_runs(lease.shard):
            if isinstance(run, Unreadable):
                self.quarantine.hold(run.saga_id, run.shard, None, run.error)
                continue
            count += 1
            if run.plan.waits and run.told == waited_for(run.plan, run.state) and sleeps(run):
                continue
            runs[run.saga_id] = run
            item = Item(
                saga_id=run.saga_id,
                message=Recovered(clean=lease.clean),
                cause="recovery",
                causation_id=f"epoch:{lease.epoch}",
                shard=lease.shard,
            )
            (self._suspects if is_suspect(run.plan, run.state, clean=lease.clean) else self._others).append(item)
        if count:
            log.info("runs_resuming", extra={"shard": lease.shard, "runs": count, "suspects": len(self._suspects)})
        return count

    def next_items(self) -> list[Item]:
        """The next suspect if none is at work; everybody else once there are no suspects."""
        if self.alone is not None:
            return []
        if self._suspects:
            item = self._suspects.popleft()
            self.alone = item.saga_id
            return [item]
        items = list(self._others)
        self._others.clear()
        return items

    def over(self, saga_id: SagaId) -> None:
        """The suspect has shown itself harmless, is parked, or has had its time."""
        if self.alone == saga_id:
            self.alone = None

    def forget(self, shard: int, runs: dict[SagaId, Run]) -> None:
        """The shard is not ours any more."""
        self._suspects = deque(item for item in self._suspects if item.shard != shard)
        self._others = deque(item for item in self._others if item.shard != shard)
        if self.alone is not None and (self.alone not in runs or runs[self.alone].shard == shard):
            self.alone = None
