"""A bundle is read as its store is: the same question has the same answer, as far as the bundle goes."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from amends.coordinator.evidence.bundle import open_bundle
from amends.coordinator.evidence.bundle_log import BundleLog
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.ports.store import LogReading, Store
from amends.schemas.ids import SagaId
from tests.unit.evidence.bundles import export, in_memory, played

NOBODY = SagaId("0" * 8 + "-0000-0000-0000-" + "0" * 12)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = in_memory(tmp_path_factory.mktemp("store"))
    played(store)
    return store


@pytest.fixture(scope="module")
def log(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BundleLog]:
    file = tmp_path_factory.mktemp("bundle") / "all.amends"
    export(store, file, count=100)
    with closing(open_bundle(file)) as bundle:
        yield BundleLog(bundle)


Asked = Callable[[LogReading, list[RunRow]], Any]
READS: dict[str, Asked] = {
    "a run": lambda log, rows: log.run(rows[0].saga_id),
    "nobody's run": lambda log, _: log.run(NOBODY),
    "runs by id": lambda log, rows: log.runs_by_id([rows[0].saga_id, rows[2].saga_id, NOBODY]),
    "runs by prefix": lambda log, rows: log.runs_by_prefix(rows[1].saga_id[:8]),
    "runs by any prefix": lambda log, _: len(log.runs_by_prefix("", limit=3)),
    "runs by key": lambda log, rows: log.runs_by_key(rows[0].saga, rows[0].idempotency_key),
    "runs by another key": lambda log, rows: log.runs_by_key(rows[0].saga, "no such key"),
    "runs by another saga's key": lambda log, rows: log.runs_by_key("other", rows[0].idempotency_key),
    "generations": lambda log, rows: log.generations(
        rows[0].namespace, rows[0].saga, [rows[0].idempotency_key, rows[1].idempotency_key, "no such key"]
    ),
    "generations elsewhere": lambda log, rows: log.generations("elsewhere", rows[0].saga, [rows[0].idempotency_key]),
    "all runs": lambda log, _: log.runs(),
    "the newest": lambda log, _: log.runs(limit=2),
    "those before": lambda log, rows: log.runs(before=(rows[1].started_at, rows[1].saga_id)),
    "those since": lambda log, rows: log.runs(since=rows[1].started_at),
    "by status": lambda log, _: log.runs(status="compensated"),
    "by saga": lambda log, rows: (log.runs(saga=rows[0].saga, limit=1), log.runs(saga="other")),
    "by business key": lambda log, rows: log.runs(key=rows[3].business_key),
    "open ones": lambda log, _: log.runs_open(),
    "by origin": lambda log, rows: log.runs_by_origin(rows[0].origins[0].topic, 0, rows[0].origins[0].offset),
    "entries": lambda log, rows: log.entries_of(rows[0].saga_id),
    "entries in pages": lambda log, rows: log.entries_of(rows[0].saga_id, after=1, limit=1),
    "nobody's entries": lambda log, _: log.entries_of(NOBODY),
    "a blob that is not there": lambda log, _: log.blob("sha256:" + "0" * 64),
    "a definition that is not there": lambda log, _: log.definition("0" * 64),
    "what was archived": lambda log, rows: log.archived_of(rows[0].saga_id),
    "nobody's key": lambda log, _: log.subject_key("0" * 32),
}


@pytest.mark.parametrize("asked", READS.values(), ids=READS)
def test_a_bundle_answers_as_its_store_does(store: Store, log: BundleLog, asked: Asked) -> None:
    rows = store.runs()
    assert asked(log, rows) == asked(store, rows)


def test_definitions_are_the_store_s_but_for_when_it_had_them(store: Store, log: BundleLog) -> None:
    (held,), kept = log.definitions(), {row.hash: row for row in store.definitions()}
    assert (held.name, held.version, held.body) == (kept[held.hash].name, kept[held.hash].version, kept[held.hash].body)
    assert log.definition(held.hash) == held
