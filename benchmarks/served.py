"""Amends on PostgreSQL and Kafka: `served.py DATABASE KAFKA FOLDER COUNT_ALONE COUNT_TOGETHER`.

One `amends worker` and one `amends relay`, processes of their own as in production; this process publishes triggers
and reads outcomes with plain Kafka clients. The clock of a run starts when the broker has acknowledged its trigger and
stops when its outcome has been read back from the topic: a fetch more than the commit.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.ceiling import Entries, served_ceiling
from benchmarks.driving import Driver, key_of, trigger_of
from benchmarks.phases import IN_FLIGHT, WARM_UP, Phase, all_keys_of, rounds_of, tell

HERE = Path(__file__).parent
TOPIC = "bench.orders"
PARTITIONS = 6
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where this program's worker works: a database of its own, topics of its own."""

    database: str
    kafka: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(HERE.parent),
            "AMENDS_DATA": str(self.folder),
            "AMENDS_STORE": self.database,
            "AMENDS_BUS": f"kafka://{self.kafka}",
            "AMENDS_IN_FLIGHT": str(IN_FLIGHT),
            "AMENDS_LOG": "warning",
        }

    def amends(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "amends", *arguments]


def main() -> None:
    database, kafka, folder, alone, together = sys.argv[1:]
    place = Place(database=database, kafka=kafka, folder=Path(folder))
    topics = place.amends("topics", "create", str(HERE / "app.py"), "--partitions", str(PARTITIONS))
    subprocess.run(topics, env=place.environment, check=True, stdout=subprocess.DEVNULL)
    with serving(place, "worker", str(HERE / "app.py")) as worker, serving(place, "relay") as relay:
        pids = (worker, relay)
        phases = asyncio.run(measure(place, pids, rounds_of(int(alone), int(together))))
    for phase in phases:
        commits = commits_of(place.database, phase.name)
        tell(replace(phase, commits=len(commits)))
        tell(served_ceiling(place.database, phase, commits))
    refuse_unless_all_completed(place.database, len(all_keys_of(int(alone), int(together), "drained")))


@contextmanager
def serving(place: Place, *arguments: str) -> Iterator[int]:
    process = subprocess.Popen(place.amends(*arguments), env=place.environment, stdin=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


async def measure(place: Place, pids: tuple[int, ...], wanted: dict[str, tuple[int, int]]) -> list[Phase]:
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(bootstrap_servers=place.kafka, acks="all")
        await producer.start()
        stack.push_async_callback(producer.stop)
        consumer = AIOKafkaConsumer("amends.outcomes", bootstrap_servers=place.kafka, auto_offset_reset="earliest")
        await consumer.start()
        stack.push_async_callback(consumer.stop)

        async def publish(keys: list[str]) -> None:
            for key in keys:
                sent = await producer.send(TOPIC, trigger_of(key), key=key.encode())
                sent.add_done_callback(lambda _, key=key: driver.began([key], time.perf_counter()))

        driver = Driver(publish=publish, cpu_s=lambda: sum(map(cpu_s_of, pids)))
        reading = asyncio.create_task(read(consumer, driver))
        try:
            await driver.run("warm", count=WARM_UP, in_flight=IN_FLIGHT)
            return [await driver.run(name, count=count, in_flight=flight) for name, (count, flight) in wanted.items()]
        finally:
            reading.cancel()


async def read(consumer: AIOKafkaConsumer, driver: Driver) -> None:
    while True:
        by_partition = await consumer.getmany(timeout_ms=1000)
        now = time.perf_counter()
        driver.ended((key_of(record.key) for records in by_partition.values() for record in records), now)


def cpu_s_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def commits_of(database: str, name: str) -> list[Entries]:
    """The log of one phase, commit by commit: rows of one transaction bear its number."""
    commits: dict[str, list[tuple[str, int, bytes]]] = {}
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            """SELECT e.xmin::text, e.originator_id, e.originator_version, e.state FROM amends.events e
            JOIN amends.runs r ON r.saga_id = e.originator_id WHERE r.idempotency_key LIKE %s
            ORDER BY e.xmin::text::bigint, e.notification_id""",
            (f"{name}-%",),
        )
        for transaction, saga_id, version, data in rows:
            commits.setdefault(transaction, []).append((saga_id, version, data))
    return list(commits.values())


def refuse_unless_all_completed(database: str, count: int) -> None:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT status, count(*) FROM amends.runs GROUP BY status").fetchall()
    if found != [("completed", count)]:
        sys.exit(f"void: {count} runs were to complete, the store has {found}")


if __name__ == "__main__":
    main()
