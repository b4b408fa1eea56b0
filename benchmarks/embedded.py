"""Amends on SQLite and local topics, as `amends dev` runs it: `embedded.py FOLDER COUNT_ALONE COUNT_TOGETHER`.

Publisher and worker are one process. The publisher keeps so many runs in flight: whenever outcomes are committed it
publishes as many new triggers, in one transaction. The clock of a run starts when the commit of its trigger returns and
stops when the commit with its outcome returns; both are taken at the store, inside.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from amends.connectors.local.sink import LocalSink
from amends.connectors.local.source import LocalSource
from amends.connectors.local.views import LocalTopicReading
from amends.connectors.stores.sqlite import SqliteStore
from amends.coordinator.definition.loading import load_app
from amends.coordinator.ports.bus import Outgoing
from amends.coordinator.ports.rows import Batch, LocalRecord, StoredEntry
from amends.coordinator.reading.publishing import OwnTopics, Publishing
from amends.coordinator.runtime.worker import Worker, WorkerSettings
from benchmarks.ceiling import embedded_ceiling
from benchmarks.driving import Driver, trigger_of
from benchmarks.phases import IN_FLIGHT, WARM_UP, Phase, all_keys_of, rounds_of, tell

OWN = OwnTopics("amends")
TOPIC = "bench.orders"
APP = Path(__file__).with_name("app.py")


class TimedStore(SqliteStore):
    """Notes when commits return, and what each of them appended. It and its driver are in the figures."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[tuple[StoredEntry, ...]] = []
        self._keys: dict[str, str] = {}

    def listen(self, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        self._driver, self._loop = driver, loop

    def append(self, batch: Batch) -> None:
        super().append(batch)
        now = time.perf_counter()
        for part in batch.appends:
            self._keys.update((row.saga_id, row.idempotency_key) for row in part.started)
            self.commits.append(part.entries)
            over = [self._keys[change.saga_id] for change in part.changed if change.ended_at is not None]
            if over:
                self._loop.call_soon_threadsafe(self._driver.ended, over, now)

    def publish(self, records: Sequence[LocalRecord]) -> list[int]:
        offsets = super().publish(records)
        now = time.perf_counter()
        self._driver.began(
            (json.loads(record.value or b"")["request"] for record in records), now
        )  # Only read when the phase is over.
        return offsets


def main() -> None:
    folder, alone, together = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = TimedStore(folder / "amends.db")
    store.migrate(shards=1)
    phases = asyncio.run(measure(store, rounds_of(alone, together)))
    for phase, commits in phases:
        tell(replace(phase, commits=len(commits)))
        same = [[(each.saga_id, each.version, each.data) for each in commit] for commit in commits]
        tell(embedded_ceiling(folder / f"ceiling-{phase.name}.db", phase, same))
    refuse_unless_all_completed(store, all_keys_of(alone, together, "drained"))
    store.close()


async def measure(
    store: TimedStore, wanted: Mapping[str, tuple[int, int]]
) -> list[tuple[Phase, list[tuple[StoredEntry, ...]]]]:
    source = LocalSource(store, group="amends.default")
    sink = LocalSink(store, own=OWN, now=store.now, published=source.wake)

    async def publish(keys: list[str]) -> None:
        await sink.publish([Outgoing(topic=TOPIC, key=None, value=trigger_of(key), headers=()) for key in keys])

    driver, loop = Driver(publish=publish, cpu_s=time.process_time), asyncio.get_running_loop()
    store.listen(driver, loop)
    worker = Worker(
        store=store,
        reader=store,
        source=source,
        sagas=load_app(str(APP)).sagas,
        settings=WorkerSettings(in_flight_max=IN_FLIGHT),
        clock=store.now,
        wake_source=source.wake,
    )
    worker.check()
    phases = []
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await driver.run("warm", count=WARM_UP, in_flight=IN_FLIGHT)
        for name, (count, in_flight) in wanted.items():
            store.commits = []
            phases.append((await driver.run(name, count=count, in_flight=in_flight), store.commits))
        worker.stop()
    return phases


def refuse_unless_all_completed(store: SqliteStore, keys: list[str]) -> None:
    """Read the outcomes from their topic, as a consumer would."""
    topic = LocalTopicReading(store=store, publishing=Publishing(own=OWN, namespace="default", form="json"))
    outcomes, after = [], -1
    while page := topic.read(OWN.outcomes, after=after):
        outcomes += [json.loads(record.value or b"") for record in page]
        after = page[-1].offset
    found = sorted((outcome["idempotency_key"], outcome["status"]) for outcome in outcomes)
    if found != sorted((key, "completed") for key in keys):
        sys.exit(f"void: {len(found)} outcomes of {len(keys)} runs, not each completed once")


if __name__ == "__main__":
    main()
