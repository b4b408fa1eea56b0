"""What forgetting asks of the store, and a race for the next generation."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.errors import RunExists
from amends.coordinator.ports.rows import Batch, RunRow
from amends.coordinator.runtime.inbound import Arrived
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.ids import SagaId, saga_id_of
from amends.schemas.instants import SECOND
from tests.contract.stores.test_forgetting import FIRST, HOUR, remembering


class Store(MemoryStore):
    """Counts what intake asks; another worker may begin a run just before an append."""

    asked: Counter[str]
    rival: RunRow | None = None

    def runs_by_id(self, saga_ids: Sequence[SagaId]) -> dict[SagaId, RunRow]:
        self.asked["runs_by_id"] += 1
        return super().runs_by_id(saga_ids)

    def generations(self, *asked: Any) -> dict[str, int]:
        self.asked["generations"] += 1
        return super().generations(*asked)

    def accounted(self, *asked: Any) -> Any:
        self.asked["accounted"] += 1
        return super().accounted(*asked)

    def append(self, batch: Batch) -> None:
        if self.rival is not None:
            rival, self.rival = self.rival, None
            self._tables.runs[rival.saga_id] = rival
            raise RunExists([rival.saga_id])
        super().append(batch)


def installed() -> tuple[World, Store]:
    clock = Clock()
    store = Store(clock=clock)
    store.asked = Counter()
    store.migrate(shards=1)
    return World(store, remembering("1h"), clock=clock), store


def published(installation: World, keys: Sequence[str]) -> None:
    """All in one batch."""
    for key in keys:
        installation.publish({**FIRST, "id": key})
    arrived = [each for each in installation._arrived if isinstance(each, Arrived)]
    installation._arrived[-len(arrived) :] = [Arrived(records=[record for each in arrived for record in each.records])]
    installation.run()


def test_a_batch_of_new_requests_and_of_duplicates_asks_the_store_once() -> None:
    installation, store = installed()
    keys = [f"A-{number}" for number in range(50)]
    published(installation, keys)
    published(installation, keys)
    assert store.asked == {"runs_by_id": 2}
    assert {row.duplicates for row in store.runs()} == {1}


def test_a_batch_of_forgotten_requests_asks_three_times_more_however_many_they_are() -> None:
    installation, store = installed()
    keys = [f"A-{number}" for number in range(50)]
    published(installation, keys)
    installation.clock.now += HOUR + SECOND
    store.asked.clear()
    published(installation, keys)
    assert store.asked == {"runs_by_id": 2, "generations": 1, "accounted": 1}
    assert len(store.runs()) == 100


def test_who_loses_the_race_for_a_generation_finds_the_winner_s_run() -> None:
    installation, store = installed()
    published(installation, ["A-1"])
    (first,) = store.runs()
    installation.clock.now += HOUR + SECOND
    rival = saga_id_of(namespace="test", saga="order", idempotency_key="A-1", generation=1)
    store.rival = msgspec.structs.replace(
        first, saga_id=rival, generation=1, status="running", ended_at=None, started_at=installation.clock.now
    )
    published(installation, ["A-1"])
    assert [(row.generation, row.status, row.duplicates) for row in store.runs()] == [
        (1, "running", 1),
        (0, "completed", 0),
    ]
