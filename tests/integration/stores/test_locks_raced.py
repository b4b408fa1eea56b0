"""Many workers want the same locks of one PostgreSQL at once: each begins in its turn, nobody in a circle."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import Batch, LocksLeft, LocksWanted
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import saga_id

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

WORKERS: Final = 4
RUNS: Final = 25
KEYS: Final = ("a", "b", "c")
WITHIN_S: Final = 60.0


def test_workers_that_race_for_locks_all_get_their_turns(postgres: str, tmp_path: Path) -> None:
    def opened() -> Store:
        return open_store(str(postgres), data_dir=tmp_path, shards=WORKERS)

    opened().close()
    failures: list[BaseException] = []
    held = Held()
    workers = [
        threading.Thread(target=guarded, args=(failures, lambda number=number: work(opened(), number, held)))
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(WITHIN_S + 10)
    assert not failures, failures
    assert held.turns == WORKERS * RUNS
    store = opened()
    assert store.locks() == []
    store.close()


class Held:
    """Who holds what just now, as those who do believe it."""

    def __init__(self) -> None:
        self.turns = 0
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    def take(self, keys: tuple[str, ...]) -> None:
        with self._lock:
            assert not self._keys & set(keys), "a key has two holders"
            self._keys.update(keys)
            self.turns += 1

    def give_back(self, keys: tuple[str, ...]) -> None:
        with self._lock:
            self._keys.difference_update(keys)


def guarded(failures: list[BaseException], work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001  told in the main thread
        failures.append(error)


def work(store: Store, number: int, held: Held) -> None:
    """One run after the other: want, be told, hold, leave."""
    chance = random.Random(number)
    for turn in range(RUNS):
        run = saga_id(f"{number}-{turn}")
        keys = tuple(sorted(chance.sample(KEYS, chance.randint(1, len(KEYS)))))
        store.append(Batch(locks=(LocksWanted(saga_id=run, shard=number, keys=keys, at=turn),)))
        until = time.monotonic() + WITHIN_S
        while not any(row.message_id == f"locks:{run}" for row in store.inbox(number)):
            assert time.monotonic() < until, f"{run} is never told: {store.locks()}"
        held.take(keys)
        held.give_back(keys)
        store.append(Batch(locks=(LocksLeft(saga_id=run, keys=None, at=turn),)))
    store.close()
