"""With a schema registry, Confluent's wire format is read and written, and its clients need nothing else."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from tests.e2e.kafka.conftest import Send
from tests.e2e.kafka.installation import ORDERS, Installation, outcomes
from tests.e2e.kafka.senders import as_json, binary, by_serializer, order, send

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running(on_postgres: Installation, schema_registry: str) -> Iterator[Installation]:
    """Give an installation that knows a registry; its worker and its relay run."""
    knowing = replace(on_postgres, more={"AMENDS_SCHEMA_REGISTRY": schema_registry})
    with knowing.started("worker", "worker", ORDERS), knowing.started("relay", "relay"):
        yield knowing


@pytest.mark.parametrize("envelope", ["plain", "CloudEvents"])
def test_a_trigger_by_confluent_s_serializer_becomes_a_run_and_its_outcome_is_read_by_its_schema_s_id(
    running: Installation, schema_registry: str, number: str, sender: Send, envelope: str
) -> None:
    value = by_serializer(order(number), schema_registry, running.orders)
    headers = binary(f"A-{number}", "application/vnd.apache.avro") if envelope == "CloudEvents" else {}
    sender(running.address, running.orders, value, headers)
    found = outcomes(running, f"A-{number}", registry=schema_registry)
    (outcome,) = [each["outcome"] for each in found if each["outcome"]["business_key"] == f"A-{number}"]
    assert (outcome["status"], outcome["idempotency_key"]) == ("completed", f"R-{number}")
    assert json.loads(outcome["result"])["amount"] == "12.50"


def test_the_registry_has_the_outcome_s_schema_under_the_topic_s_subject(
    running: Installation, schema_registry: str, number: str
) -> None:
    send(running.address, running.orders, as_json(order(number)))
    outcomes(running, f"A-{number}", registry=schema_registry)
    with SchemaRegistryClient({"url": schema_registry}) as client:
        newest = client.get_latest_version(f"{running.own.outcomes}-value")
    schema = newest.schema
    assert schema is not None
    assert schema.schema_str is not None
    assert json.loads(schema.schema_str)["name"] == "amends.Outcome"


def test_what_is_verified_from_the_topic_may_be_in_confluent_s_wire_format(
    running: Installation, schema_registry: str, number: str
) -> None:
    send(running.address, running.orders, as_json(order(number)))
    outcomes(running, f"A-{number}", registry=schema_registry)
    report = running.json("audit", "verify", "--all", "--from-topic")
    assert report["ok"]
    assert report["runs"] >= 1
