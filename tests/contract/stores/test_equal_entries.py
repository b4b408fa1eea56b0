"""One scenario gives equal entries on every log, but for `at`, `epoch`, `build`, and the hashes that cover them."""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.store import Store
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.replies import Reply, fails, ok, raises, unavailable, unknown
from amends.coordinator.testing.world import World
from tests.unit.runtime import sagas

SCENARIO = json.loads(Path(__file__).with_name("scenario.json").read_text())
OF_THE_MOMENT = {"at", "epoch", "build", "hash", "previous_hash"}
KINDS: dict[str, Callable[..., Reply]] = {
    "ok": lambda key: ok(sagas.Done(key=key)),
    "fails": fails,
    "unavailable": unavailable,
    "unknown": unknown,
    "raises": lambda text: raises(ValueError(text)),
}


@pytest.fixture
def of_memory(tmp_path: Path) -> list[dict[str, Any]]:
    """What everybody is compared with."""
    return played(open_store("memory:", data_dir=tmp_path, shards=1))


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_the_same_scenario_gives_equal_entries_on_every_log(
    kind: str, of_memory: list[dict[str, Any]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/amends.db" if kind == "sqlite" else str(request.getfixturevalue("postgres"))
    store = open_store(url, data_dir=tmp_path, shards=1)
    try:
        entries = played(store)
    finally:
        store.close()
    assert entries == of_memory
    statuses = {event["type"] for entry in of_memory for event in entry["events"]}
    assert {"SagaCompleted", "SagaCompensated", "SagaParked", "StepInDoubt", "RetryScheduled"} <= statuses


def played(store: Store) -> list[dict[str, Any]]:
    """Every entry of the scenario in the log's order, without what is of the moment."""
    world = World(store, sagas.order_saga(), clock=Clock())
    for each in SCENARIO:
        scripted = each["replies"].items()
        world.script.replies = {name: deque(KINDS[kind](said) for kind, said in replies) for name, replies in scripted}
        world.publish(each["trigger"])
        world.run()
    entries = [json.loads(stored.data) for stored in store.entries_from(0, after=0, limit=10_000)]
    return [{name: value for name, value in entry.items() if name not in OF_THE_MOMENT} for entry in entries]
