"""A batch is bounded, whatever becomes of its records: a heap of bad ones holds up nobody's undo (rules 18, 19)."""

from typing import Final

import pytest

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.ports.rows import Batch
from amends.coordinator.runtime.batching import BATCH_BYTES_MAX, DECISIONS_MAX
from amends.coordinator.runtime.inbound import Arrived
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.record import Record
from tests.unit.runtime.sagas import order_saga

LARGE_BYTES: Final = BATCH_BYTES_MAX * 3 // 4


class Noting(MemoryStore):
    """Notes what each batch brought beside entries."""

    def migrate(self, *, shards: int) -> None:
        self.brought: list[int] = []
        super().migrate(shards=shards)

    def append(self, batch: Batch) -> None:
        if rare := len(batch.dead_letters) + len(batch.duplicates):
            self.brought.append(rare)
        super().append(batch)


@pytest.mark.parametrize(
    ("value", "records", "batches"),
    [
        pytest.param(b"{", 300, [DECISIONS_MAX, DECISIONS_MAX, 300 - 2 * DECISIONS_MAX], id="bad records"),
        pytest.param(
            b"{".ljust(LARGE_BYTES), 5, [2, 2, 1], id="large bad records: full with the one that passes the limit"
        ),
        pytest.param(
            b'{"id": "A-1"}', 300, [127, DECISIONS_MAX, 300 - 1 - 127 - DECISIONS_MAX], id="repeated requests"
        ),
    ],
)
def test_records_that_begin_no_run_fill_a_batch_as_decisions_do(value: bytes, records: int, batches: list[int]) -> None:
    clock = Clock()
    store = Noting(clock=clock)
    store.migrate(shards=1)
    installation = World(store, order_saga(), clock=clock)
    arrived = [Record(topic="orders", partition=0, offset=offset, value=value) for offset in range(records)]
    installation._arrived.append(Arrived(records=arrived))
    installation.run()
    assert store.brought == batches


@pytest.mark.parametrize(
    ("sizes", "records_max", "bytes_max", "first"),
    [
        pytest.param([10, 10, 10], 2, 100, 2, id="so many"),
        pytest.param([10, 10, 10], 5, 25, 2, id="so many bytes"),
        pytest.param([90, 10], 5, 25, 1, id="at least one, though it is too large"),
        pytest.param([10, 10], 5, 20, 2, id="all that there are"),
    ],
)
def test_records_are_cut_where_a_batch_is_full(sizes: list[int], records_max: int, bytes_max: int, first: int) -> None:
    records = [Record(topic="t", partition=0, offset=at, value=bytes(size)) for at, size in enumerate(sizes)]
    taken, rest = Arrived(records=records).cut(records_max=records_max, bytes_max=bytes_max)
    assert (list(taken), list(rest)) == (records[:first], records[first:])
