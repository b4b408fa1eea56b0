"""What a relay publishes next of each lane: of a shard the entries behind its position, or the dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.ports.rows import DeadLetterRow, Lease, StoredEntry
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.histories import Histories
from amends.coordinator.reading.publishing import Publication, Publishing
from amends.schemas.ids import SagaId

BATCH_BYTES: Final = 4 * 1024 * 1024
ENTRIES_FIRST: Final = 100
ENTRIES_MAX: Final = 1_000
DEAD_LETTERS_MAX: Final = 20
DEAD_LETTERS: Final = -1
"""The lane of the dead letters; every other lane is a shard, by its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is published of one entry, or of one dead letter, whose position is its number."""

    position: int
    publications: tuple[Publication, ...]
    ended: SagaId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Parts of one lane, in order. The dead letters have no lease."""

    lane: int
    lease: Lease | None
    parts: tuple[Part, ...]

    @property
    def publications(self) -> list[Publication]:
        return [publication for part in self.parts for publication in part.publications]

    @property
    def position(self) -> int:
        """Where the lane stands once all of it is published."""
        return self.parts[-1].position

    def cut(self, index: int) -> tuple["Batch", int]:
        """What comes before the part that has this publication, and the position of that part."""
        at = [number for number, part in enumerate(self.parts) for _ in part.publications][index]
        return Batch(lane=self.lane, lease=self.lease, parts=self.parts[:at]), self.parts[at].position


@dataclass(slots=True, kw_only=True)
class Batches:
    """Reads them. Blocks."""

    store: Store
    publishing: Publishing
    _histories: Histories = field(init=False)
    _entries_max: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._histories = Histories(self.store)

    def of_shard(self, lease: Lease, *, after: int, single: bool) -> Batch:
        """The entries with a position above `after`, as many as a batch holds or a `single` one."""
        limit = 1 if single else self._entries_max.get(lease.shard, ENTRIES_FIRST)
        entries = self.store.entries_from(lease.shard, after=after, limit=limit)
        if not single:
            self._entries_max[lease.shard] = _next_limit(entries)
        return Batch(lane=lease.shard, lease=lease, parts=tuple(map(self._of_entry, entries)))

    def of_dead_letters(self, *, single: bool) -> Batch:
        """Those that were not relayed yet."""
        rows = self.store.dead_letters(after=self.store.dead_letters_relayed(), limit=1 if single else DEAD_LETTERS_MAX)
        return Batch(lane=DEAD_LETTERS, lease=None, parts=tuple(map(self._of_dead_letter, rows)))

    def published(self, batch: Batch) -> None:
        """It is acknowledged: what was remembered of runs that ended is let go."""
        for part in batch.parts:
            if part.ended is not None:
                self._histories.forget(part.ended)

    def _of_entry(self, entry: StoredEntry) -> Part:
        self._histories.saw(entry)
        audit = self.publishing.audit(entry)
        outcome = self.publishing.ending(entry, self._histories, self.store.blob)
        if outcome is None:
            return Part(position=entry.position, publications=(audit,))
        return Part(position=entry.position, publications=(audit, outcome), ended=entry.saga_id)

    def _of_dead_letter(self, row: DeadLetterRow) -> Part:
        return Part(position=row.n, publications=(self.publishing.dead_letter(row),))


def _next_limit(entries: Sequence[StoredEntry]) -> int:
    """How many entries of this size make a batch of the right number of bytes."""
    if not entries:
        return ENTRIES_FIRST
    size_bytes = sum(len(entry.data) for entry in entries)
    return max(1, min(ENTRIES_MAX, BATCH_BYTES * len(entries) // size_bytes))
