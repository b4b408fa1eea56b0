"""The log in memory: append behind the compare-and-set, and reading by run and by shard."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from amends.connectors.stores.changes import changed
from amends.connectors.stores.memory.locks import Locks
from amends.connectors.stores.memory.messages import Messages
from amends.coordinator.errors import Fenced, KeyErased, RunExists
from amends.coordinator.ports.rows import (
    CLOSED,
    ORIGINS_KEPT,
    Batch,
    Duplicate,
    ShardAppend,
    StoredEntry,
)
from amends.schemas.events import Digest, Origin
from amends.schemas.ids import SagaId


class Log(Messages, Locks):
    """Entries, and what is appended with them."""

    def append(self, batch: Batch) -> None:
        with self._tables.lock:
            self._check(batch)
            for append in batch.appends:
                self._append(append)
            for row in batch.inbox:
                self._tables.inbox.setdefault(row.message_id, row)
            for letter in batch.dead_letters:
                self._put_dead_letter(letter)
            for digest, data in batch.blobs:
                self._tables.blobs.setdefault(digest, data)
            for key_id, saga_id in batch.sealed:
                self._tables.subject_runs[key_id].add(saga_id)
            self._count_duplicates(batch.duplicates)
            self._change_locks(batch.locks)
            self._tables.mark += 1

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        with self._tables.lock:
            return [entry for entry in self._tables.by_run.get(saga_id, ()) if entry.version > after][:limit]

    def entries_from(self, shard: int, *, after: int, limit: int) -> list[StoredEntry]:
        with self._tables.lock:
            entries = self._tables.by_shard[shard]
            first = bisect_right(entries, after, key=lambda entry: entry.position)
            return entries[first : first + limit]

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        with self._tables.lock:
            open_runs = sorted(
                row.saga_id for row in self._tables.runs.values() if row.shard == shard and row.status not in CLOSED
            )
            return iter([entry for saga_id in open_runs for entry in self._tables.by_run.get(saga_id, ())])

    def blob(self, digest: Digest) -> bytes | None:
        with self._tables.lock:
            return self._tables.blobs.get(digest)

    def _check(self, batch: Batch) -> None:
        shards = self._tables.leases["worker"]
        fenced = [
            append.shard
            for append in batch.appends
            if append.shard not in shards
            or (shards[append.shard].epoch, shards[append.shard].position) != (append.epoch, append.position)
        ]
        if fenced:
            raise Fenced(fenced)
        exist = [row.saga_id for append in batch.appends for row in append.started if row.saga_id in self._tables.runs]
        if exist:
            raise RunExists(exist)
        subjects = self._tables.subjects
        erased = [key_id for key_id, _ in batch.sealed if key_id not in subjects or subjects[key_id].erased_at]
        if erased:
            raise KeyErased(erased)

    def _append(self, append: ShardAppend) -> None:
        shard = self._tables.leases["worker"][append.shard]
        for number, entry in enumerate(append.entries, append.position + 1):
            assert (entry.shard, entry.position) == (append.shard, number)
            self._tables.by_run[entry.saga_id].append(entry)
            self._tables.by_shard[append.shard].append(entry)
        shard.position += len(append.entries)
        shard.head = append.head
        for row in append.started:
            self._tables.runs[row.saga_id] = row
            for origin in row.origins:
                self._tables.origins[origin].add(row.saga_id)
        for change in append.changed:
            self._tables.runs[change.saga_id] = changed(self._tables.runs[change.saga_id], change)
        for message_id in append.inbox_done:
            self._tables.inbox.pop(message_id, None)
        self._meet_messages(append)

    def _count_duplicates(self, duplicates: Sequence[Duplicate]) -> None:
        new: defaultdict[SagaId, list[Origin]] = defaultdict(list)
        for duplicate in duplicates:
            new[duplicate.saga_id].append(duplicate.origin)
        for saga_id, origins in new.items():
            if row := self._tables.runs.get(saga_id):
                fresh = [origin for origin in dict.fromkeys(origins) if saga_id not in self._tables.origins[origin]]
                for origin in fresh:
                    self._tables.origins[origin].add(saga_id)
                self._tables.runs[saga_id] = msgspec.structs.replace(
                    row, duplicates=row.duplicates + len(fresh), origins=(*row.origins, *fresh)[:ORIGINS_KEPT]
                )
