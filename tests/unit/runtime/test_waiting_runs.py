"""Runs that wait, on the real engine: messages early, late, twice and wrong, timeouts, stops, and an empty memory."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.core.evolve import fold
from amends.coordinator.ports.rows import InboxRow, MessageRow
from amends.coordinator.reading.triggers import wrong_with
from amends.coordinator.runtime.delivering import unclaimed
from amends.coordinator.testing.clock import BEGINNING
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.entry import Inline, decode
from amends.schemas.instants import SECOND
from amends.testing import world

HOUR: Final = 3600 * SECOND


class Order(BaseModel):
    id: str
    item: str = "A-12"
    ship_at: datetime = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


class Arrival(BaseModel):
    pallets: int
    place: str = "hall 1"


def goods_saga(**options: Any) -> Saga[Order]:
    order = Saga("order", trigger=Topic("orders", Order, idempotency_key="id", business_key="item"), deadline="1d")
    goods = order.wait("goods", Arrival, correlation=order.trigger.item, timeout="1h", **options)

    @order.read
    def count(ctx: Context, arrival: Arrival | None = goods.maybe) -> str:
        return "nothing" if arrival is None else f"{arrival.pallets} in {arrival.place}"

    return order


def installation(**options: Any) -> World:
    return world(goods_saga(**options))


def ordered(number: int = 1, *, item: str = "A-12", **options: Any) -> World:
    place = installation(**options)
    for each in range(number):
        place.publish({"id": f"R-{each}", "item": item})
    place.run()
    return place


def statuses(place: World) -> list[str]:
    return [row.status for row in sorted(place.store.runs(limit=10_000), key=lambda row: row.idempotency_key)]


def result_of(place: World, number: int = 0) -> str:
    row = next(row for row in place.store.runs() if row.idempotency_key == f"R-{number}")
    entries = [decode(stored.data) for stored in place.store.entries_of(row.saga_id)]
    key = fold(entries).result or ""
    payload = next(entry.payloads[key] for entry in entries if key in entry.payloads)
    assert isinstance(payload, Inline)
    return payload.inline


def test_a_waiting_run_says_so_and_is_not_in_memory() -> None:
    place = ordered()
    (row,) = place.store.runs()
    assert (row.status, row.waiting_for) == (
        "waiting",
        "goods: message Arrival for A-12 until 2026-01-01T01:00:00.000000Z",
    )
    assert place.engine.runs == {}
    assert place.engine.idle


def test_a_message_moves_it_on() -> None:
    place = ordered()
    place.send("Arrival", "A-12", Arrival(pallets=3))
    place.run()
    assert statuses(place) == ["completed"]
    assert result_of(place) == '"3 in hall 1"'


def test_a_message_that_came_early_is_taken_when_the_wait_begins() -> None:
    place = installation()
    place.send("Arrival", "A-12", {"pallets": 3})
    place.run()
    place.publish({"id": "R-0"})
    place.run()
    assert result_of(place) == '"3 in hall 1"'


def test_what_the_model_fills_in_stands_in_the_log() -> None:
    place = ordered()
    place.send("Arrival", "A-12", {"pallets": 3, "unknown": True})
    place.run()
    (row,) = place.store.runs()
    payloads = [
        each.inline
        for stored in place.store.entries_of(row.saga_id)
        for each in decode(stored.data).payloads.values()
        if isinstance(each, Inline)
    ]
    assert '{"pallets":3,"place":"hall 1"}' in payloads


def test_the_same_message_twice_moves_one_run_on() -> None:
    place = ordered(2)
    for _ in range(2):
        place.send("Arrival", "A-12", {"pallets": 3}, message_id="m")
        place.run()
    assert statuses(place) == ["completed", "waiting"]


def test_each_message_moves_one_run_on_the_one_that_waits_longest() -> None:
    place = ordered(3)
    place.send("Arrival", "A-12", {"pallets": 1})
    place.send("Arrival", "A-12", {"pallets": 2})
    place.run()
    assert statuses(place) == ["completed", "completed", "waiting"]
    assert [result_of(place, number) for number in (0, 1)] == ['"1 in hall 1"', '"2 in hall 1"']


def test_a_message_of_another_type_is_kept_for_another_wait() -> None:
    place = ordered()
    place.send("Return", "A-12", {"pallets": 3})
    place.run()
    assert statuses(place) == ["waiting"]
    assert [row.taken_by for row in place.store.messages()] == [None]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        pytest.param({"pallets": "many"}, "pallets", id="a field of another type"),
        pytest.param({}, "pallets", id="a field that is missing"),
        pytest.param("three", None, id="no object"),
    ],
)
def test_a_message_that_does_not_fit_is_a_dead_letter_and_the_wait_goes_on(body: object, path: str | None) -> None:
    place = ordered()
    place.send("Arrival", "A-12", body, message_id="bad")
    place.run()
    (letter,) = place.store.dead_letters()
    assert (letter.reason, letter.path, letter.saga) == ("invalid", path, "order")
    assert letter.detail.startswith("message bad for step goods: ")
    assert path is None or path not in wrong_with(letter).removeprefix(path), "its path is named once"
    assert statuses(place) == ["waiting"]
    place.send("Arrival", "A-12", {"pallets": 3}, message_id="bad")
    place.run()
    assert statuses(place) == ["completed"], "once mended, it may come again under its id"


@pytest.mark.parametrize(
    ("on_timeout", "status", "result"),
    [("fail", "compensated", None), ("skip", "completed", '"nothing"'), ("park", "parked", None)],
)
def test_at_its_timeout_a_run_that_is_not_in_memory_goes_the_way_it_declares(
    on_timeout: Any, status: str, result: str | None
) -> None:
    place = ordered(on_timeout=on_timeout)
    place.run(until=BEGINNING + HOUR - 1)
    assert statuses(place) == ["waiting"]
    place.run(until=BEGINNING + HOUR)
    assert statuses(place) == [status]
    assert result is None or result_of(place) == result


def test_a_message_after_the_timeout_is_kept_for_another_run() -> None:
    place = ordered()
    place.run(until=BEGINNING + HOUR)
    place.send("Arrival", "A-12", {"pallets": 3})
    place.run()
    assert place.store.awaited() == []
    place.publish({"id": "R-1"})
    place.run()
    assert statuses(place) == ["compensated", "completed"]


def given_to_a_run_that_is_cancelled_first(place: World) -> None:
    """The message is in the inbox of the first run when that one turns back."""
    first = min(place.store.runs(), key=lambda row: row.idempotency_key)
    wish = wishes.Cancel(actor="kim", saga_id=first.saga_id, reason="changed")
    place.store.put_inbox([InboxRow(shard=0, message_id="cancel", body=wishes.write(wish))])
    place.send("Arrival", "A-12", {"pallets": 3})
    place.run()


def test_a_message_for_a_run_that_turned_back_meanwhile_goes_to_the_next_that_waits() -> None:
    place = ordered(2)
    given_to_a_run_that_is_cancelled_first(place)
    assert statuses(place) == ["compensated", "completed"]
    assert place.store.inbox(0) == []


def test_a_message_for_a_run_that_turned_back_is_kept_if_nobody_else_waits() -> None:
    place = ordered()
    given_to_a_run_that_is_cancelled_first(place)
    assert [(row.taken_by, row.body) for row in place.store.messages()] == [(None, '{"pallets": 3}')]


def before_the_message(place: World) -> None:
    place.crash()
    place.run()
    place.send("Arrival", "A-12", {"pallets": 3})


def after_the_message_was_sent(place: World) -> None:
    place.send("Arrival", "A-12", {"pallets": 3})
    place.crash()
    place.run()
    place.take_inbox()


@pytest.mark.parametrize("crash", [before_the_message, after_the_message_was_sent])
def test_a_worker_that_dies_loses_neither_wait_nor_message(crash: Callable[[World], None]) -> None:
    place = ordered()
    crash(place)
    place.run()
    assert result_of(place) == '"3 in hall 1"'


def away_until_the_wait_is_over(place: World) -> None:
    place.crash()
    place.clock.now = BEGINNING + 2 * HOUR


@pytest.mark.parametrize("runs", [1, 3])
def test_a_message_that_came_in_time_is_taken_though_the_worker_was_away_when_the_wait_was_over(runs: int) -> None:
    place = ordered(runs, on_timeout="skip")
    place.send("Arrival", "A-12", {"pallets": 3})
    away_until_the_wait_is_over(place)
    place.run()
    assert [result_of(place, number) for number in range(runs)] == ['"3 in hall 1"'] + ['"nothing"'] * (runs - 1)


def test_a_message_that_came_in_time_and_does_not_fit_holds_the_timeout_up_for_a_second() -> None:
    place = ordered(on_timeout="skip")
    place.send("Arrival", "A-12", {"pallets": "many"})
    away_until_the_wait_is_over(place)
    place.run(until=place.clock.now + 2 * SECOND)
    assert [letter.reason for letter in place.store.dead_letters()] == ["invalid"]
    assert result_of(place) == '"nothing"'


def test_the_timer_of_a_waiting_run_is_set_again_after_a_stop() -> None:
    place = ordered()
    place.crash()
    place.run(until=BEGINNING + HOUR + SECOND)
    assert statuses(place) == ["compensated"]


def test_any_number_of_waiting_runs_takes_no_place_in_flight_and_no_memory_nor_after_a_stop() -> None:
    count = 1_000  # Four times as many as may be in flight.
    place = ordered(count)
    assert statuses(place) == ["waiting"] * count
    assert place.engine.runs == {}
    assert len(place.engine.timers) < 2 * count
    place.crash()
    place.run()
    assert place.engine.runs == {}
    place.send("Arrival", "A-12", {"pallets": 3})
    place.run()
    assert statuses(place).count("completed") == 1


def test_instants_and_pauses_end_by_themselves() -> None:
    order = Saga("order", trigger=Topic("orders", Order, idempotency_key="id", business_key="item"))
    ship = order.wait_until("ship_date", order.trigger.ship_at)
    order.pause("cool_off", "10s", after=ship)
    place = world(order)
    place.publish({"id": "R-0"})
    place.run()
    (row,) = place.store.runs()
    assert (row.status, row.waiting_for) == ("waiting", "ship_date: 2026-01-01T00:00:30.000000Z")
    place.run(until=BEGINNING + 39 * SECOND)
    assert statuses(place) == ["waiting"]
    place.run(until=BEGINNING + 40 * SECOND)
    assert statuses(place) == ["completed"]
    assert result_of(place) == "null"


def test_a_message_nobody_waited_for_becomes_a_dead_letter_when_its_time_is_over() -> None:
    place = installation()
    place.send("Arrival", "B-1", {"pallets": 3}, message_id="m", kept_s=60)
    (row,) = place.store.messages()
    assert isinstance(row, MessageRow)
    assert place.store.sweep_messages(BEGINNING + 59 * SECOND, unclaimed) == 0
    assert place.store.sweep_messages(BEGINNING + 60 * SECOND, unclaimed) == 1
    (letter,) = place.store.dead_letters()
    assert (letter.reason, letter.key, letter.detail) == ("unclaimed", b"B-1", "nobody waited for Arrival B-1")
    assert b'"body":{"pallets": 3}' in (letter.value or b"")
