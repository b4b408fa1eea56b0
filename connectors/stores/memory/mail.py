"""What waits or is kept beside the log, in memory: inbox, local topics, dead letters, definitions."""

from collections.abc import Sequence

import msgspec

from amends.connectors.stores.memory.tables import Part
from amends.coordinator.ports.rows import CLOSED, DeadLetterRow, DefinitionRow, InboxRow, LocalRecord, RelayWait
from amends.schemas.instants import Instant


class Mail(Part):
    """Small tables, each by its key."""

    def inbox(self, shard: int, *, limit: int = 1_000) -> list[InboxRow]:
        with self._tables.lock:
            return [row for row in self._tables.inbox.values() if row.shard == shard][:limit]

    def put_inbox(self, rows: Sequence[InboxRow]) -> None:
        with self._tables.lock:
            for row in rows:
                self._tables.inbox.setdefault(row.message_id, row)
            self._tables.mark += 1

    def publish(self, records: Sequence[LocalRecord]) -> list[int]:
        with self._tables.lock:
            offsets = []
            for record in records:
                log = self._tables.topics[record.topic]
                offsets.append(len(log))
                log.append(msgspec.structs.replace(record, offset=len(log)))
            self._tables.mark += 1
            return offsets

    def records(self, topic: str, *, after: int, limit: int) -> list[LocalRecord]:
        with self._tables.lock:
            return self._tables.topics.get(topic, [])[after + 1 : after + 1 + limit]

    def topics(self) -> list[str]:
        with self._tables.lock:
            return sorted(self._tables.topics)

    def consumed(self, group: str, topic: str) -> int:
        with self._tables.lock:
            return self._tables.consumers.get((group, topic), 0)

    def consume(self, group: str, positions: dict[str, int]) -> None:
        with self._tables.lock:
            for topic, position in positions.items():
                self._tables.consumers[group, topic] = max(position, self.consumed(group, topic))

    def dead_letters(self, *, after: int = 0, limit: int = 100, whole: bool = True) -> list[DeadLetterRow]:
        with self._tables.lock:
            rows = self._tables.dead_letters[after : after + limit]
        return rows if whole else [msgspec.structs.replace(row, value=None, headers=()) for row in rows]

    def dead_letters_count(self) -> int:
        with self._tables.lock:
            return len(self._tables.dead_letters)

    def dead_letter(self, n: int) -> DeadLetterRow | None:
        found = self.dead_letters(after=n - 1, limit=1) if n > 0 else []
        return found[0] if found else None

    def dead_letters_at(self, topic: str, partition: int, offset: int) -> list[DeadLetterRow]:
        place = (topic, partition, offset)
        with self._tables.lock:
            return [row for row in self._tables.dead_letters if (row.topic, row.partition, row.offset) == place]

    def mark_redriven(self, n: int, at: Instant) -> None:
        with self._tables.lock:
            if row := self.dead_letter(n):
                self._tables.dead_letters[n - 1] = msgspec.structs.replace(row, redriven_at=at)
                self._tables.mark += 1

    def dead_letters_relayed(self) -> int:
        with self._tables.lock:
            return self._tables.dead_letters_relayed

    def dead_letters_move(self, n: int) -> None:
        with self._tables.lock:
            self._tables.dead_letters_relayed = max(n, self._tables.dead_letters_relayed)

    def relay_waits(self) -> list[RelayWait]:
        with self._tables.lock:
            positions = {shard: lease.position for shard, lease in self._tables.leases["relay"].items()}
            waits = [self._tables.relay_waits[shard] for shard in sorted(self._tables.relay_waits)]
            return [
                wait
                for wait in waits
                if wait.position
                > (self._tables.dead_letters_relayed if wait.shard is None else positions.get(wait.shard, 0))
            ]

    def relay_waits_at(self, wait: RelayWait) -> None:
        with self._tables.lock:
            self._tables.relay_waits[-1 if wait.shard is None else wait.shard] = wait
            self._tables.mark += 1

    def put_definition(self, row: DefinitionRow) -> None:
        with self._tables.lock:
            known, named = self._tables.definitions.get(row.hash), (row.name, row.version)
            runs = self._tables.runs.values()
            if known is None:
                same = (each for each in self._tables.definitions.values() if (each.name, each.version) == named)
                stored_at = max(row.stored_at, max((each.stored_at for each in same), default=0) + 1)
                self._tables.definitions[row.hash] = msgspec.structs.replace(row, stored_at=stored_at)
            elif not any(run.definition_hash == row.hash and run.status not in CLOSED for run in runs):
                self._tables.definitions[row.hash] = msgspec.structs.replace(known, body=row.body)

    def definition(self, digest: str) -> DefinitionRow | None:
        with self._tables.lock:
            return self._tables.definitions.get(digest)

    def definitions(self) -> list[DefinitionRow]:
        with self._tables.lock:
            return sorted(self._tables.definitions.values(), key=lambda row: (row.name, row.version, row.hash))
