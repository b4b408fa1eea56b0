"""The entries of a run up to one of them, without asking the store again for what was just read."""

from collections import OrderedDict
from typing import Final

from amends.coordinator.ports.rows import StoredEntry
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.opening import Opening
from amends.schemas.entry import Entry, decode
from amends.schemas.ids import SagaId

KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
PAGE: Final = 1_000


class Histories:
    """Remembers the bytes of runs that were seen from their first entry on; the longest unseen are forgotten first."""

    def __init__(self, store: LogReading, *, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._store = store
        self._bytes_max = bytes_max
        self._size_bytes = 0
        self._runs: OrderedDict[SagaId, list[bytes]] = OrderedDict()

    def saw(self, entry: StoredEntry) -> None:
        """Remember an entry if all before it are."""
        known = self._runs.get(entry.saga_id)
        if known is None:
            if entry.version != 1:
                return
            known = self._runs[entry.saga_id] = []
        elif entry.version != len(known) + 1:
            return
        known.append(entry.data)
        self._runs.move_to_end(entry.saga_id)
        self._size_bytes += len(entry.data)
        while self._size_bytes > self._bytes_max:
            self.forget(next(iter(self._runs)))

    def upto(self, entry: StoredEntry) -> list[Entry]:
        """The run's entries, decoded, the given one last."""
        known = self._runs.get(entry.saga_id, [])
        if len(known) >= entry.version:
            return [decode(data) for data in known[: entry.version]]
        return [decode(data) for data in self._stored(entry)]

    def opening(self) -> Opening:
        """What opens, for the topics, what is sealed: a new one each time, so that it remembers no erased key."""
        return Opening(self._store, published=True)

    def forget(self, saga_id: SagaId) -> None:
        """The run has ended: nobody will ask for it soon."""
        self._size_bytes -= sum(map(len, self._runs.pop(saga_id, ())))

    def _stored(self, last: StoredEntry) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < last.version - 1:
            page = self._store.entries_of(
                last.saga_id, after=len(found), limit=min(PAGE, last.version - 1 - len(found))
            )
            assert page, f"run {last.saga_id} has no version {len(found) + 1}"
            found += [entry.data for entry in page]
        return [*found, last.data]
