"""Triggers of every encoding, sent by other programs, become runs; their outcomes are read by others, too."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.e2e.kafka.conftest import Send
from tests.e2e.kafka.installation import ORDERS, Installation, outcomes, wait_for
from tests.e2e.kafka.senders import (
    as_json,
    binary,
    confluent,
    order,
    send,
    send_by_kcat,
    single_object,
    structured,
)

JSON = "application/json"
CLOUDEVENTS = "application/cloudevents+json; charset=utf-8"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", params=["PostgreSQL", "SQLite"])
def running(
    request: pytest.FixtureRequest, on_postgres: Installation, on_sqlite: Installation
) -> Iterator[Installation]:
    """Give an installation whose worker runs, and beside it a relay where the worker does not carry it."""
    if request.param == "SQLite":
        with on_sqlite.started("worker", "worker", ORDERS):
            yield on_sqlite
        return
    with on_postgres.started("worker", "worker", ORDERS), on_postgres.started("relay", "relay"):
        yield on_postgres


def encoded(form: str, number: str) -> tuple[bytes, dict[str, str]]:
    """Give value and headers of a trigger in one of the forms that a definition with a key of its own takes."""
    data, identity = order(number), f"A-{number}"
    forms: Mapping[str, tuple[bytes, dict[str, str]]] = {
        "JSON": (as_json(data), {}),
        "JSON with a content type": (as_json(data), {"content-type": f"{JSON}; charset=utf-8"}),
        "CloudEvents, binary, JSON": (as_json(data), binary(identity, JSON)),
        "CloudEvents, binary, Avro": (single_object(data), binary(identity, "application/avro")),
        "CloudEvents, structured": (structured(data), {"content-type": CLOUDEVENTS}),
        "Avro, single object": (single_object(data), {}),
        "Avro, Confluent, schema from a file": (confluent(data, 4_711), {}),
    }
    return forms[form]


FORMS = [
    "JSON",
    "JSON with a content type",
    "CloudEvents, binary, JSON",
    "CloudEvents, binary, Avro",
    "CloudEvents, structured",
    "Avro, single object",
    "Avro, Confluent, schema from a file",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_trigger_becomes_a_run_and_its_outcome_is_read(
    running: Installation, schemas: Path, number: str, sender: Send, form: str
) -> None:
    value, headers = encoded(form, number)
    sender(running.address, running.orders, value, headers)
    outcome = understood(running, schemas, number)
    assert (outcome["saga"], outcome["idempotency_key"]) == ("orders", f"R-{number}")


@pytest.mark.parametrize(
    ("form", "key"),
    [
        pytest.param("binary", "/shop E-A-{number}", id="a binary CloudEvent's source and id"),
        pytest.param("structured", "/shop E-A-{number}", id="a structured CloudEvent's source and id"),
        pytest.param("header", "I-{number}", id="the header before source and id"),
    ],
)
def test_the_key_of_a_definition_without_one(
    running: Installation, schemas: Path, number: str, form: str, key: str
) -> None:
    data = order(number, request_id=None)
    value, headers = as_json(data), binary(f"A-{number}", JSON)
    if form == "structured":
        value, headers = structured(data), {"content-type": CLOUDEVENTS}
    if form == "header":
        headers["idempotency-key"] = f"I-{number}"
    send(running.address, running.notices, value, headers)
    outcome = understood(running, schemas, number)
    assert outcome["saga"] == "notices"
    assert outcome["idempotency_key"] == key.format(number=number)


def test_a_failed_saga_is_undone_and_its_outcome_says_so(running: Installation, schemas: Path, number: str) -> None:
    send(running.address, running.orders, as_json(order(number, refuse="charge")))
    (found,) = mine(outcomes(running, f"A-{number}", schemas=schemas), number)
    outcome = found["outcome"]
    assert (outcome["status"], outcome["cause"], outcome["exposure"]) == ("compensated", "failed", [])
    assert [each["step"] for each in outcome["undone"]] == ["reserve"]
    assert (outcome["failure"]["step"], outcome["failure"]["kind"]) == ("charge", "refused")


def test_the_same_request_twice_is_one_run_and_another_payload_is_a_conflict(
    running: Installation, schemas: Path, kcat: str, number: str
) -> None:
    send_by_kcat(kcat, running.address, running.orders, as_json(order(number)))
    outcomes(running, f"A-{number}", schemas=schemas)
    send(running.address, running.orders, single_object(order(number)))  # the same by value, in another encoding
    _, offset = send(running.address, running.orders, as_json(order(number, amount="13.00")))
    wait_for(lambda: bool(dead_letters(running, number)), "the conflict is a dead letter")
    (dead,) = dead_letters(running, number)
    (run,) = [row for row in running.json("runs", "list") if row["idempotency_key"] == f"R-{number}"]
    assert (dead["reason"], dead["saga_id"], dead["offset"]) == ("conflict", run["saga_id"], offset)
    shown = running.json("runs", "show", run["saga_id"])
    assert shown["trigger"]["duplicates"] == 1
    assert len(mine(outcomes(running, f"A-{number}", schemas=schemas), number)) == 1


def test_an_outcome_carries_the_headers_that_say_what_it_is(running: Installation, schemas: Path, number: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    send(running.address, running.orders, as_json(order(number)), {"traceparent": trace})
    (found,) = mine(outcomes(running, f"A-{number}", schemas=schemas), number)
    outcome, headers = found["outcome"], found["headers"]
    assert found["key"] == f"A-{number}"
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_id"] == outcome["outcome_id"]
    assert headers["ce_subject"] == headers["amends-saga-id"] == outcome["saga_id"]
    assert headers["amends-version"] == str(outcome["log_version"])
    assert {"ce_source", "ce_type", "ce_time", "ce_dataschema"} <= headers.keys()
    assert headers["content-type"] == "application/avro"
    assert headers["traceparent"].split("-")[1] == trace.split("-")[1]


def understood(running: Installation, schemas: Path, number: str) -> dict[str, Any]:
    """Give the order's one outcome, which must show that the trigger was understood to the last field."""
    (found,) = mine(outcomes(running, f"A-{number}", schemas=schemas), number)
    outcome: dict[str, Any] = found["outcome"]
    assert outcome["status"] == "completed"
    expected = {"order_id": f"A-{number}", "amount": "12.50", "articles": 3, "note": "häppy"}
    assert json.loads(outcome["result"]) == expected
    assert UUID(outcome["outcome_id"]).version == 5
    return outcome


def mine(found: list[dict[str, Any]], number: str) -> list[dict[str, Any]]:
    return [each for each in found if each["outcome"]["business_key"] == f"A-{number}"]


def dead_letters(running: Installation, number: str) -> list[dict[str, Any]]:
    return [each for each in running.json("dead-letters", "list") if each["idempotency_key"] == f"R-{number}"]
