"""The same commands on PostgreSQL and Kafka: a trigger's whole way, verified and replayed from the topic alone."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.cli.conftest import REFUNDS, TOPIC, TRIGGERS, play, trigger
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

STATUSES = {"R-1": "completed", "R-2": "compensated", "R-3": "parked"}


@pytest.fixture
def on_postgres(folder: Path, postgres: str) -> Installation:
    """Local topics in a PostgreSQL database."""
    return Installation(folder=folder, settings={"AMENDS_STORE": postgres, "AMENDS_LEASE": "1s"})


@pytest.fixture
def on_kafka(folder: Path, postgres: str, kafka: str, prefix: str) -> Iterator[Installation]:
    """Kafka and PostgreSQL; the app's trigger topic and ours begin with the prefix."""
    app = Path(REFUNDS).read_text(encoding="utf-8").replace(TOPIC, f"{prefix}{TOPIC}")
    (folder / "refunds.py").write_text(app)
    made = Installation(
        folder=folder,
        settings={
            "AMENDS_STORE": postgres,
            "AMENDS_BUS": f"kafka://{kafka}",
            "AMENDS_TOPIC_PREFIX": f"{prefix}amends",
            "AMENDS_LEASE": "1s",
        },
    )
    made.ok("topics", "create", "refunds.py", "--partitions", "2")
    yield made
    shutil.rmtree(folder / "world", ignore_errors=True)


def test_the_whole_way_of_a_trigger_on_postgresql(on_postgres: Installation) -> None:
    play(on_postgres)
    assert {row["idempotency_key"]: row["status"] for row in on_postgres.json("runs", "list")} == STATUSES
    assert [row["reason"] for row in on_postgres.json("dead-letters", "list")] == ["conflict", "invalid", "undecodable"]
    assert on_postgres.ok("runs", "story", "refund/R-2").count("✔ undone") == 2
    for where in ((), ("--from-topic",)):
        assert on_postgres.json("audit", "verify", "--all", *where)["faults"] == []
        state = on_postgres.ok("runs", "state", "refund/R-2", "-o", "json").rstrip("\n")
        assert on_postgres.ok("replay", "refund/R-2", *where, "-o", "json").rstrip("\n").endswith(f',"state":{state}}}')
    (on_postgres.folder / "ledger-is-open").touch()
    on_postgres.ok("parked", "resolve", "refund/R-3", "--step", "reverse_charge", "--retry")
    on_postgres.ok("worker", REFUNDS, "--until-idle")
    assert on_postgres.outcomes()["R-3"]["status"] == "compensated"
    assert len(on_postgres.json("store", "status")["shards"]) == 16
    assert all(each["ok"] for each in on_postgres.json("doctor"))
    on_postgres.command("store", "backup", "b.db").refused(2, "AM0315", "pg_dump")


def test_the_whole_way_of_a_trigger_on_kafka(on_kafka: Installation) -> None:
    topic = f"{on_kafka.settings['AMENDS_TOPIC_PREFIX'].removesuffix('amends')}{TOPIC}"
    on_kafka.publish(topic, *TRIGGERS[:5])
    on_kafka.ok("worker", "refunds.py", "--until-idle")
    assert {row["idempotency_key"] for row in on_kafka.json("runs", "list")} == set(STATUSES)
    assert on_kafka.json("audit", "verify", "--all", "--from-topic")["runs"] == 3
    whole = on_kafka.outcomes()["R-2"]["saga_id"]
    state = on_kafka.ok("runs", "state", whole, "-o", "json").rstrip("\n")
    away = replace(on_kafka, settings={**on_kafka.settings, "AMENDS_STORE": "postgresql://127.0.0.1:9/none"})
    assert away.ok("replay", whole, "--from-topic", "-o", "json").rstrip("\n").endswith(f',"state":{state}}}')
    assert away.json("audit", "verify", whole, "--from-topic")["ok"] is True
    records = on_kafka.json("topics", "tail", f"{on_kafka.settings['AMENDS_TOPIC_PREFIX']}.outcomes")
    assert {record["data"]["idempotency_key"]: record["data"]["status"] for record in records} == STATUSES
    assert all(record["encoding"] == "avro" for record in records)
    assert on_kafka.command("topics", "check").code == 0


def test_a_wait_on_kafka_follows_the_record_s_own_place(on_kafka: Installation) -> None:
    topic = f"{on_kafka.settings['AMENDS_TOPIC_PREFIX'].removesuffix('amends')}{TOPIC}"
    with on_kafka.running("worker", "refunds.py", "--with-relay") as worker:
        worker.says("worker_started")
        done = on_kafka.command("publish", topic, "--json", json.dumps(trigger(2, fail="mail")), "--wait", "-o", "json")
        assert done.code == 3, done
        (record,) = json.loads(done.out)["records"]
        place = f"{topic}:{record['partition']}:{record['offset']}"
        assert on_kafka.json("triggers", "explain", place)["state"] == "run"
        assert worker.stop() == 0


def test_a_missing_topic_is_named_within_five_seconds_of_what_a_publish_takes(on_kafka: Installation) -> None:
    topic = f"{on_kafka.settings['AMENDS_TOPIC_PREFIX'].removesuffix('amends')}{TOPIC}"
    started = monotonic()
    on_kafka.ok("publish", topic, "--json", "{}")
    published = monotonic()
    on_kafka.command("publish", "no-such-topic", "--json", "{}").refused(2, "AM4104", "no-such-topic", "topics create")
    assert monotonic() - published < published - started + 5


def test_creating_topics_twice_leaves_them_as_they_are(on_kafka: Installation) -> None:
    again = on_kafka.json("topics", "create", "refunds.py", "--partitions", "3")
    assert not any(each["created"] for each in again)
    (made,) = on_kafka.json("topics", "create", "brand-new", "--partitions", "3")[-1:]
    assert made["topic"] == "brand-new"
