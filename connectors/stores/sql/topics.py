"""Local topics as tables: one partition, offsets from 0 without a gap, in the order of the commits."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from amends.connectors.stores.sql.rows import record_columns, record_of
from amends.connectors.stores.sql.work import SqlStore, Work
from amends.coordinator.ports.rows import LocalRecord

_INSERT: Final = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)"


class SqlTopics(SqlStore):
    """The embedded bus's tables."""

    def publish(self, records: Sequence[LocalRecord]) -> list[int]:
        offsets = [0] * len(records)
        by_topic: defaultdict[str, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            by_topic[record.topic].append(index)
        with self._writing() as work:
            for topic in sorted(by_topic):  # in one order everywhere, so that two publishers never wait for each other
                places = by_topic[topic]
                first = _reserve(work, topic, len(places))
                for offset, index in enumerate(places, first):
                    offsets[index] = offset
                work.change_each(_INSERT, [record_columns(records[index], offsets[index]) for index in places])
        return offsets

    def records(self, topic: str, *, after: int, limit: int) -> list[LocalRecord]:
        found = self._rows(
            """SELECT topic, "offset", key, value, headers, at FROM records
            WHERE topic = ? AND "offset" > ? ORDER BY "offset" LIMIT ?""",
            (topic, after, limit),
        )
        return [record_of(row) for row in found]

    def topics(self) -> list[str]:
        return [row[0] for row in self._rows("SELECT topic FROM topics ORDER BY topic")]

    def consumed(self, group: str, topic: str) -> int:
        found = self._rows("SELECT next_offset FROM consumers WHERE consumer = ? AND topic = ?", (group, topic))
        return found[0][0] if found else 0

    def consume(self, group: str, positions: dict[str, int]) -> None:
        with self._writing() as work:
            for topic, position in sorted(positions.items()):
                work.change(
                    """INSERT INTO consumers VALUES (?, ?, ?) ON CONFLICT (consumer, topic)
                    DO UPDATE SET next_offset = excluded.next_offset
                    WHERE consumers.next_offset < excluded.next_offset""",
                    (group, topic, position),
                )


def _reserve(work: Work, topic: str, count: int) -> int:
    """The first of `count` offsets. The topic's row stays locked, so that offsets become visible in their order."""
    work.change(
        """INSERT INTO topics VALUES (?, ?) ON CONFLICT (topic)
        DO UPDATE SET next_offset = topics.next_offset + excluded.next_offset""",
        (topic, count),
    )
    next_offset: int = work.rows("SELECT next_offset FROM topics WHERE topic = ?", (topic,))[0][0]
    return next_offset - count
