"""compose.yaml works: its commands, in its order, on real servers, until triggers have their outcomes."""

import re
import shlex
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer

from tests.e2e.compose.compose_file import FILE, load
from tests.e2e.compose.stack import Stack, stack
from tests.servers.waiting import wait_until

COMPLETED, COMPENSATED = 0, 3
PUBLISH = ["amends", "publish", "shop.bookings", "--wait", "--json"]
PARTITIONS = 6


@pytest.mark.timeout(300)
@pytest.mark.kafka
@pytest.mark.postgres
def test_a_trigger_has_its_outcome(tmp_path: Path) -> None:
    with stack(load()["services"], tmp_path) as running:
        running.up()
        for name in ("worker", "relay"):
            running.wait_until_healthy(name)

        for command in shown_to_people():
            assert running.run("worker", command).wait(60) == COMPLETED, running.log("worker")
        stolen = '{"request": "B-2", "item": "chair", "quantity": 3, "card": "stolen"}'
        sold_out = '{"request": "B-3", "item": "chair", "quantity": 5}'
        for order in (stolen, sold_out):
            assert running.run("worker", [*PUBLISH, order]).wait(60) == COMPENSATED, running.log("worker")

        assert stock(running) == {"lamp": 8, "chair": 4}
        wait_until(lambda: len(runs_published(running)) == 3, within_s=30, what="three outcomes are on the topic")
        assert shard_owners(running) == 2
        assert running.down() == {"worker": {0}, "relay": {0}, "init": {0}}
        assert shard_owners(running) == 0


@pytest.mark.timeout(120)
@pytest.mark.kafka
@pytest.mark.postgres
def test_a_healthcheck_refuses_what_is_not_ready(tmp_path: Path) -> None:
    with stack(load()["services"], tmp_path) as running:
        for name in ("kafka", "postgres"):
            assert not running.healthy(name)
            running.start(name)
            running.wait_until_healthy(name)
        assert not running.healthy("worker"), "init has not run"
        running.start("init")
        assert running.ended("init") == 0, running.log("init")
        running.wait_until_healthy("worker")
        assert running.kafka is not None
        running.kafka.stop()
        assert not running.healthy("worker"), "the broker is away"


def shown_to_people() -> list[list[str]]:
    """The commands that the head of the file tells to try, the others being Compose's own."""
    lines = re.findall(r"^# +docker compose exec worker (amends .*)$", FILE.read_text(), re.MULTILINE)
    assert lines
    return [shlex.split(line) for line in lines]


def stock(running: Stack) -> dict[str, int]:
    """What the participant's own database says."""
    assert running.postgres is not None
    with psycopg.connect(running.postgres.url.replace("/postgres", "/stock")) as books:
        return dict(books.execute("SELECT item, free FROM stock").fetchall())


def shard_owners(running: Stack) -> int:
    assert running.postgres is not None
    with psycopg.connect(running.postgres.url.replace("/postgres", "/amends")) as store:
        (count,) = store.execute("SELECT count(DISTINCT owner) FROM amends.shards").fetchone() or (0,)
        return int(count)


def runs_published(running: Stack) -> set[str]:
    """Of which runs an outcome is on the topic, by somebody else's client."""
    assert running.kafka is not None
    reader = Consumer(
        {
            "bootstrap.servers": running.kafka.address,
            "group.id": "test",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    reader.subscribe(["amends.outcomes"])
    try:
        found: set[str] = set()
        ended: set[int | None] = set()
        while len(ended) < PARTITIONS:
            message = reader.poll(10)
            assert message is not None, "the topic has no end"
            if message.error() is not None:
                ended.add(message.partition())
            else:
                found.add(str(dict(message.headers() or [])["amends-saga-id"]))
        return found
    finally:
        reader.close()
