"""A running worker outlives a registry that refuses it, breaks, or is not there; what needs a schema waits for it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from subprocess import Popen
from typing import NamedTuple

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from tests.e2e.kafka.gate import Gate, gate_before
from tests.e2e.kafka.installation import ORDERS, Installation, wait_for
from tests.e2e.kafka.senders import SCHEMA, as_json, by_serializer, confluent, order, send

pytestmark = pytest.mark.timeout(240)


class Running(NamedTuple):
    """A worker, and what stands before its registry."""

    installation: Installation
    worker: "Popen[bytes]"
    gate: Gate


@pytest.fixture(scope="module")
def gate(schema_registry: str) -> Iterator[Gate]:
    with gate_before(schema_registry) as made:
        yield made


@pytest.fixture(scope="module")
def running(on_postgres: Installation, gate: Gate) -> Iterator[Running]:
    knowing = replace(on_postgres, more={"AMENDS_SCHEMA_REGISTRY": gate.url})
    with knowing.started("worker", "worker", ORDERS) as worker:
        yield Running(knowing, worker, gate)


def put(installation: Installation, partition: int, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": installation.address})
    for value in values:
        producer.produce(installation.orders, value=value, partition=partition)
    assert producer.flush(20) == 0


def statuses(installation: Installation, number: str) -> list[str]:
    """Of the runs for an order."""
    return [row["status"] for row in installation.json("runs", "list", "--key", f"A-{number}")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param((401, "who are you?"), "answered 401: who are you?", id="it refuses our login"),
        pytest.param((403, "no"), "answered 403: no", id="it gives us no right"),
        pytest.param((200, "<html>welcome</html>"), "answers no JSON object", id="a portal answers for it"),
        pytest.param((404, "<html>nothing here</html>"), "answered 404: <html>", id="it has moved"),
        pytest.param((500, "{}"), "it answered 500", id="it breaks"),
    ],
)
def test_a_worker_waits_for_what_it_needs_of_a_registry_and_goes_on_with_all_else(
    running: Running,
    schema_registry: str,
    number: str,
    answer: tuple[int, str],
    said: str,
) -> None:
    installation, worker, gate = running
    avro = by_serializer(order(f"{number}-1"), schema_registry, installation.orders, doc=number)
    gate.answer = answer
    put(installation, 0, avro, as_json(order(f"{number}-2")))
    put(installation, 1, as_json(order(f"{number}-3")))
    wait_for(lambda: statuses(installation, f"{number}-3") == ["completed"], "the other partition goes on")
    wait_for(lambda: said in installation.log_of("worker"), "it is said what is waited for")
    assert statuses(installation, f"{number}-1") == statuses(installation, f"{number}-2") == []
    assert worker.poll() is None
    gate.answer = None
    for each in (1, 2):
        wait_for(lambda each=each: statuses(installation, f"{number}-{each}") == ["completed"], "nothing is lost")  # type: ignore[misc]
    assert "schema_registry_is_back" in installation.log_of("worker")


def test_a_record_whose_schema_is_too_large_is_a_dead_letter_that_says_so(
    running: Running, schema_registry: str, number: str
) -> None:
    installation = running.installation
    large = json.dumps({**json.loads(SCHEMA), "doc": number + "x" * 2_500_000})
    with SchemaRegistryClient({"url": schema_registry}) as client:
        schema_id = client.register_schema(f"{number}-value", Schema(large, "AVRO"))
    other = b"\x02" + confluent(order(number), schema_id)[5:]  # not what any schema in the app reads
    partition, offset = send(installation.address, installation.orders, confluent(order(number), schema_id)[:5] + other)
    wait_for(lambda: bool(letters(installation, partition, offset)), "it is a dead letter")
    (letter,) = letters(installation, partition, offset)
    assert letter["reason"] == "unknown_schema"
    assert letter["detail"] == (
        f"the registry's schema {schema_id} cannot be used: it takes more than the 1000000 bytes that are allowed"
    )


def letters(installation: Installation, partition: int, offset: int) -> list[dict[str, object]]:
    found = installation.json("dead-letters", "list")
    return [each for each in found if (each["partition"], each["offset"]) == (partition, offset)]
