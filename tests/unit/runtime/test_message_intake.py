"""Records of the messages topic: kept once, a dead letter where they are none, and swept when their time is over."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import MessageRow
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.message_intake import FROM_TOPIC, SWEPT_MAX, MessageIntake
from amends.schemas import decoding
from amends.schemas.instants import MILLISECOND, SECOND, Instant
from amends.schemas.message import MESSAGES
from amends.schemas.record import Record

NOW: Instant = 1_795_262_527_110_000
KEPT_MS = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store("memory:", data_dir=tmp_path, shards=1)


def intake(store: Store, *, clock: Callable[[], Instant] = lambda: NOW) -> MessageIntake:
    return MessageIntake(store=store, clock=clock, kept_ms=KEPT_MS, writers=decoding.Writers(ours=(MESSAGES.avro,)))


def record(offset: int, value: Any = None, **more: Any) -> Record:
    data = {"type": "Arrival", "correlation_key": "A-12", "body": {"pallets": offset}} if value is None else value
    written = data if isinstance(data, bytes) else json.dumps(data | more).encode()
    return Record(topic="amends.messages", partition=0, offset=offset, key=b"k", value=written)


def test_a_message_is_kept_for_its_time_and_once(store: Store) -> None:
    intake(store).take([record(0, message_id="m-1", reason="late", external_id="x"), record(1)])
    intake(store).take([record(2, message_id="m-1"), record(1)])
    by_place, named = store.messages()
    assert named == MessageRow(
        message_id="m-1",
        correlation_key="A-12",
        type="Arrival",
        reason="late",
        external_id="x",
        body='{"pallets":0}',
        topic="amends.messages",
        partition=0,
        offset=0,
        received_at=NOW,
        expires_at=NOW + KEPT_MS * MILLISECOND,
        actor=FROM_TOPIC,
    )
    assert (by_place.message_id, by_place.body) == ("amends.messages:0:1", '{"pallets":1}')


def test_what_is_no_message_is_a_dead_letter_and_holds_up_no_other(store: Store) -> None:
    intake(store).take([record(0, b"{"), record(1), record(2, {"type": "T", "correlation_key": "K" * 600})])
    (kept,) = store.messages()
    assert kept.offset == 1
    letters = store.dead_letters()
    assert [(each.n, each.offset, each.reason, each.path) for each in letters] == [
        (1, 0, "undecodable", None),
        (2, 2, "invalid", "correlation_key"),
    ]
    assert (letters[0].key, letters[0].value, letters[0].at, letters[0].saga_id) == (b"k", b"{", NOW, None)
    intake(store).take([record(0, b"{")])
    assert store.dead_letters_count() == 2, "what is read again is the same dead letter"
    intake(store).take([])


def test_a_message_nobody_took_in_its_time_is_a_dead_letter_and_its_id_is_free(store: Store) -> None:
    intake(store).take([record(number, message_id=f"m-{number}") for number in range(3)])
    first = store.messages()[-1]
    intake(store, clock=lambda: NOW + KEPT_MS * MILLISECOND - 1).sweep()
    assert (len(store.messages()), store.dead_letters_count()) == (3, 0), "not before its time"

    intake(store, clock=lambda: NOW + KEPT_MS * MILLISECOND).sweep()

    assert store.messages() == []
    letters = store.dead_letters()
    assert [each.reason for each in letters] == ["unclaimed"] * 3
    assert (letters[0].idempotency_key, letters[0].at) == (first.message_id, first.expires_at)
    assert json.loads(letters[0].value or b"")["body"] == {"pallets": 0}
    intake(store).take([record(0, message_id="m-0")])
    assert len(store.messages()) == 1, "its id is free again, for a redrive"


def test_everything_whose_time_is_over_goes_however_much_it_is(store: Store) -> None:
    intake(store).take([record(number) for number in range(SWEPT_MAX + 1)])
    intake(store, clock=lambda: NOW + 3_600 * SECOND).sweep()
    assert (store.messages(), store.dead_letters_count()) == ([], SWEPT_MAX + 1)
