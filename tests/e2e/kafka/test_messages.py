"""Messages for runs that wait, by topic and by command: early, late, twice, wrong, and while no worker is there."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amends.schemas.message import MESSAGES, Message
from tests.e2e.kafka.installation import HERE, Installation, wait_for
from tests.e2e.kafka.senders import send

APP = HERE / "waits_app.py"
ITEMS = [f"I-{number}" for number in range(6)]


@pytest.fixture(params=["SQLite", "PostgreSQL", "Kafka"])
def waits(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Installation:
    """One on each store with its local bus, and one on PostgreSQL with Kafka."""
    by_file = request.param == "SQLite"
    store = f"sqlite:///{tmp_path}/amends.db" if by_file else str(request.getfixturevalue("postgres"))
    bus = f"kafka://{request.getfixturevalue('kafka')}" if request.param == "Kafka" else "local"
    made = Installation(folder=tmp_path, store=store, bus=bus, prefix=prefix)
    if request.param == "Kafka":
        made.run("topics", "create", APP, "--partitions", 2)
    return made


def publish(waits: Installation, topic: str, *values: dict[str, Any]) -> None:
    file = waits.folder / "values.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in values))
    waits.run("publish", topic, "--file", file)


def message(item: str, pallets: object, **more: Any) -> dict[str, Any]:
    return {
        "message_id": f"arrival of {item}", "correlation_key": item, "type": "Arrival", "body": {"pallets": pallets},
        **more,
    }  # fmt: skip


def in_avro(item: str, pallets: int) -> bytes:
    return MESSAGES.to_avro(
        Message(
            message_id=f"arrival of {item}",
            correlation_key=item,
            type="Arrival",
            answer=None,
            reason=None,
            external_id=None,
            body=msgspec.Raw(json.dumps({"pallets": pallets}).encode()),
            sent_at="2026-11-21T14:02:07.110000Z",
        )
    )


def statuses(waits: Installation) -> dict[str, str]:
    return {row["business_key"]: row["status"] for row in waits.json("runs", "list")}


def come_to(waits: Installation, **expected: int) -> None:
    """Wait until so many runs are in each status."""

    def there() -> bool:
        found = list(statuses(waits).values())
        return {status: found.count(status) for status in set(found)} == expected

    wait_for(there, f"runs come to {expected}")


@pytest.mark.timeout(240)
def test_no_wait_and_no_message_is_lost_though_the_worker_is_killed(waits: Installation) -> None:
    on_kafka = waits.bus != "local"
    with waits.started("doomed", "worker", APP) as doomed:
        wait_for(lambda: "shards_gained" in waits.log_of("doomed"), "the worker works")
        publish(waits, waits.own.messages, message(ITEMS[0], 10), message(ITEMS[0], 99))
        waits.run("messages", "send", ITEMS[1], "--type", "Arrival", "--json", '{"pallets": 11}')
        wait_for(lambda: len(waits.json("messages", "list")) == 2, "both early messages are kept")
        publish(waits, waits.orders, *({"id": item, "item": item} for item in ITEMS))
        come_to(waits, completed=2, waiting=4)
        assert {row["correlation_key"] for row in waits.json("messages", "waits")} == set(ITEMS[2:])
        doomed.kill()
        doomed.wait(10)
    publish(waits, waits.own.messages, message(ITEMS[2], 12), message(ITEMS[3], "many"), {"type": "Arrival"})
    told = waits.json("messages", "send", ITEMS[4], "--type", "Arrival", "--json", '{"pallets": 14}')
    assert told["state"] == "taken"
    with waits.started("heir", "worker", APP, "--with-relay" if on_kafka else "--allow-missing"):
        come_to(waits, completed=4, waiting=2)
        publish(waits, waits.own.messages, message(ITEMS[3], 13))
        if on_kafka:
            send(waits.address, waits.own.messages, in_avro(ITEMS[5], 15), {})
        else:
            publish(waits, waits.own.messages, message(ITEMS[5], 15))
        come_to(waits, completed=6)
    results = {item: waits.json("runs", "show", f"jobs/{item}")["result"] for item in ITEMS}
    assert results == {item: 10 + number for number, item in enumerate(ITEMS)}
    letters = [(row["reason"], row["path"]) for row in waits.json("dead-letters", "list")]
    assert sorted(letters) == [("invalid", "correlation_key"), ("invalid", "pallets")]
    assert waits.json("messages", "waits") == []
    assert waits.json("audit", "verify", "--all")["ok"]
