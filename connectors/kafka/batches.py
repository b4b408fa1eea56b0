"""Fetched batches as our records; one that cannot be read becomes a record that says so, and is passed by.

aiokafka raises out of the middle of such a batch without saying where it ends, and fetches it again for ever. A fetcher
that is guarded here never raises: it hands out what can be read, then one `Record` with `unreadable` set, at the
batch's last offset, so that committing behind it leaves the batch behind.
"""

# ruff: noqa: ANN401, SLF001  aiokafka has no types, and no public way to do this

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

from amends.connectors.kafka.codecs import BATCH_BYTES_MAX, limited_to
from amends.schemas.record import Record


def guard(consumer: Any) -> None:
    """Let this consumer's fetches hand out `Record`s, the unreadable ones too. Call it after start, before subscribe.

    Rests on private parts of the pinned aiokafka: `_fetcher`, its `_proc_fetch_request` and `_records`. A contract
    test with a real broker fails if they change.
    """
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def guarded(assignment: Any, node_id: Any, request: Any) -> bool:
        woke: bool = await fetch(assignment, node_id, request)
        for result in fetcher._records.values():
            if type(result) is FetchResult and type(result._partition_records) is PartitionRecords:
                result._partition_records = _Records(result._partition_records)
        return woke

    fetcher._proc_fetch_request = guarded


class _Records(PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The same iteration, transactions included, over guarded batches; gives `Record`s."""

    def __init__(self, fresh: Any) -> None:
        super().__init__(
            fresh._tp,
            _Batches(fresh._records, fresh.next_fetch_offset),
            fresh._aborted_transactions,
            fresh.next_fetch_offset,
            None,
            None,
            fresh._check_crcs,
            fresh._isolation_level,
        )

    def _consumer_record(self, tp: Any, record: Any) -> Record:
        if type(record) is _Unreadable:
            return Record(topic=tp.topic, partition=tp.partition, offset=record.offset, unreadable=record.why)
        return Record(
            topic=tp.topic,
            partition=tp.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=tuple((name, value or b"") for name, value in record.headers),
            timestamp_ms=record.timestamp,
        )


class _Batches:
    """aiokafka's `MemoryRecords`, with guarded batches."""

    def __init__(self, records: Any, fetch_offset: int) -> None:
        self._records = records
        self._at = fetch_offset

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        try:
            batch = _Batch(self._records.next_batch())
        except Exception as error:  # noqa: BLE001  whatever it is, the bytes are at fault
            return _LostBatch(self._at, error)
        self._at = batch.next_offset
        return batch


class _Batch:
    """aiokafka's batch; iterating it never raises."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self.base_offset: int = batch.base_offset
        self.next_offset: int = batch.next_offset
        self.is_control_batch: bool = batch.is_control_batch
        self.is_transactional: bool = batch.is_transactional
        self.producer_id: int | None = batch.producer_id

    def validate_crc(self) -> bool:
        """Leave it to the iteration, which reports it."""
        return True

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        at = self.base_offset
        try:
            for record in self._unpacked():
                at = record.offset + 1
                yield record
        except Exception as error:  # noqa: BLE001  whatever it is, the bytes are at fault
            yield _Unreadable(at, self.next_offset - 1, error)

    def _unpacked(self) -> Any:
        if not self._batch.validate_crc():
            raise CorruptRecordException("its checksum is wrong")
        with limited_to(BATCH_BYTES_MAX):
            return iter(self._batch)


class _LostBatch:
    """Bytes that do not even say where they end: one offset is passed by, then the broker is asked again."""

    is_control_batch = False
    is_transactional = False
    producer_id = None

    def __init__(self, at: int, error: Exception) -> None:
        self.base_offset = at
        self.next_offset = at + 1
        self._error = error

    def validate_crc(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        yield _Unreadable(self.base_offset, self.base_offset, self._error)


class _Unreadable:
    def __init__(self, first: int, last: int, error: Exception) -> None:
        self.offset = last
        said = f"{type(error).__name__}: {error}"
        self.why = f"offset {last}: {said}" if first == last else f"offsets {first} to {last}: {said}"
