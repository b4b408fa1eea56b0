"""Locks as they must be: never two holders, first come first served, and nobody begins before its turn (rule 16)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from amends.coordinator.core.state import State
from amends.coordinator.ports.rows import Batch, LocksWanted
from amends.schemas import events as e
from amends.schemas.entry import Entry
from amends.schemas.ids import SagaId

Require = Callable[[bool, str, str], None]


@dataclass(slots=True, kw_only=True)
class Turns:
    """A row of runs for each key, kept beside the store's own."""

    require: Require
    rows: dict[str, list[SagaId]] = field(default_factory=dict)
    holders: dict[str, SagaId] = field(default_factory=dict)
    """As the log says: from a run's `LocksTaken` to its end."""

    def committed(self, batch: Batch) -> None:
        """Places are taken in the order of the commits, and within one in the order of the decisions."""
        for change in batch.locks:
            for key in change.keys or () if isinstance(change, LocksWanted) else ():
                self.rows.setdefault(key, []).append(change.saga_id)

    def entry(self, entry: Entry, state: State) -> None:
        """`state` is the run's after the entry."""
        for event in entry.events:
            match event:
                case e.LocksTaken():
                    self._taken(entry.saga_id, event.keys)
                case e.LockReleased():
                    self._gone(entry.saga_id, (event.key,))
                case e.StepRequested():
                    keys = [key for key, row in self.rows.items() if entry.saga_id in row]
                    held = all(self.holders.get(key) == entry.saga_id for key in keys)
                    self.require(held, "rule 16", f"{entry.saga_id} begins before it has {keys}")
        if state.closed:
            self._gone(entry.saga_id, tuple(self.rows))

    def waits(self, saga_id: SagaId) -> bool:
        """Whether somebody stands before it in one of its rows."""
        return any(saga_id in row and row[0] != saga_id for row in self.rows.values())

    def _taken(self, saga_id: SagaId, keys: tuple[str, ...]) -> None:
        for key in keys:
            holder, row = self.holders.get(key), self.rows.get(key, [])
            self.require(holder is None, "rule 16", f"{saga_id} takes {key}, which {holder} holds")
            self.require(row[:1] == [saga_id], "rule 16", f"{saga_id} takes {key} out of turn: {row}")
            self.holders[key] = saga_id

    def _gone(self, saga_id: SagaId, keys: tuple[str, ...]) -> None:
        for key in keys:
            if self.holders.get(key) == saga_id:
                del self.holders[key]
            self.rows[key] = [each for each in self.rows.get(key, []) if each != saga_id]
