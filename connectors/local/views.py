"""Our own topics on the local bus: nothing is published; to read them is to read the log and the dead letters."""

from dataclasses import dataclass

from amends.connectors.local.source import record_of
from amends.coordinator.ports.bus import Outgoing
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.histories import Histories
from amends.coordinator.reading.publishing import Publishing
from amends.schemas.record import Record

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTopicReading:
    """Reads any topic of the local bus as Kafka's are read.

    Of a view the partition is the shard (the one shard 0 with SQLite) and the offset the position in the log, of
    dead letters their number: offsets rise, and have gaps where an entry made no record.
    """

    store: Store
    publishing: Publishing

    def topics(self) -> list[str]:
        """Names of the user's topics and of the views that hold something to read."""
        own = self.publishing.own
        return sorted({*self.store.topics(), own.audit, own.outcomes, own.dead_letters, own.checkpoints})

    def partitions(self, topic: str) -> list[int]:
        own = self.publishing.own
        if topic in {own.audit, own.outcomes}:
            return [row.shard for row in self.store.shards()]
        return [0]

    def read(self, topic: str, *, partition: int = 0, after: int = -1, limit: int = PAGE) -> list[Record]:
        """Records with an offset above `after`, at most `limit`; fewer means that the present end is reached."""
        own = self.publishing.own
        if topic == own.audit:
            return self._audit(partition, after, limit)
        if topic == own.outcomes:
            return self._outcomes(partition, after, limit)
        if topic == own.dead_letters:
            rows = self.store.dead_letters(after=max(0, after), limit=limit)
            return [_record(self.publishing.dead_letter(row).record, 0, row.n) for row in rows]
        if topic in own.published - {own.checkpoints}:
            return []
        return [record_of(row) for row in self.store.records(topic, after=after, limit=limit)]

    def _audit(self, shard: int, after: int, limit: int) -> list[Record]:
        entries = self.store.entries_from(shard, after=max(0, after), limit=limit)
        return [_record(self.publishing.audit(entry).record, shard, entry.position) for entry in entries]

    def _outcomes(self, shard: int, after: int, limit: int) -> list[Record]:
        histories = Histories(self.store)
        found: list[Record] = []
        position = max(0, after)
        while len(found) < limit:
            entries = self.store.entries_from(shard, after=position, limit=PAGE)
            for entry in entries:
                histories.saw(entry)
                position = entry.position
                outcome = self.publishing.ending(entry, histories, self.store.blob)
                if outcome is not None:
                    found.append(_record(outcome.record, shard, position))
                if len(found) == limit:
                    break
            if len(entries) < PAGE:
                break
        return found


def _record(outgoing: Outgoing, partition: int, offset: int) -> Record:
    return Record(
        topic=outgoing.topic,
        partition=partition,
        offset=offset,
        key=outgoing.key,
        value=outgoing.value,
        headers=outgoing.headers,
    )
