"""Lists so long that one decision cannot begin all their items, on the real engine: the next one goes on at once."""

from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.core.turn import BEGUN_MAX
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.testing.clock import BEGINNING
from amends.coordinator.testing.world import World
from amends.schemas.entry import decode
from amends.schemas.events import Event, WaitStarted
from amends.schemas.instants import MILLISECOND
from amends.testing import world


class Line(BaseModel):
    sku: str
    ship_at: datetime


class Order(BaseModel):
    id: str
    lines: list[Line]


def ordered(lines: int, *, ship_at: datetime) -> World:
    """A run that waits until each of its lines may be shipped, and counts them after that."""
    one = Saga("one", trigger=Line)
    one.wait_until("ripe", one.trigger.ship_at)
    order = Saga("order", trigger=Topic("orders", Order, idempotency_key="id"), deadline="30d")
    ripe = order.for_each("ripe", one, order.trigger.lines, key="sku", concurrency=1_000, items_max=2_000)

    @order.read(after=ripe)
    def count(ctx: Context, trigger: Order) -> int:
        return len(trigger.lines)

    place = world(order)
    trigger = Order(id="R-1", lines=[Line(sku=f"s{number}", ship_at=ship_at) for number in range(lines)])
    place.publish(trigger.model_dump(mode="json"))
    return place


def events_of(place: World, row: RunRow) -> list[Event]:
    return [event for stored in place.store.entries_of(row.saga_id) for event in decode(stored.data).events]


@pytest.mark.parametrize("lines", [BEGUN_MAX - 2, BEGUN_MAX - 1, BEGUN_MAX, 3 * BEGUN_MAX])
def test_instants_that_have_been_keep_no_item_of_a_long_list_back(lines: int) -> None:
    place = ordered(lines, ship_at=datetime(2025, 1, 1, tzinfo=UTC))
    place.run()
    (row,) = place.store.runs(limit=10)
    assert row.status == "completed"
    assert row.ended_at is not None
    assert row.ended_at - BEGINNING < MILLISECOND


@pytest.mark.parametrize("lines", [BEGUN_MAX - 2, BEGUN_MAX - 1, BEGUN_MAX, 3 * BEGUN_MAX])
def test_all_items_of_a_long_list_wait_at_once(lines: int) -> None:
    place = ordered(lines, ship_at=datetime(2026, 1, 2, tzinfo=UTC))
    place.run(within="1s")
    (row,) = place.store.runs(limit=10)
    assert row.status == "waiting"
    assert sum(isinstance(event, WaitStarted) for event in events_of(place, row)) == lines
    place.run(within="1d")
    (row,) = place.store.runs(limit=10)
    assert row.status == "completed"


def test_what_one_decision_left_is_begun_at_once_also_where_the_worker_dies_in_between() -> None:
    place = ordered(2 * BEGUN_MAX, ship_at=datetime(2026, 1, 2, tzinfo=UTC))
    place.run(until=place.clock.now)
    (row,) = place.store.runs(limit=10)
    assert row.version == 1
    place.crash()
    place.run(within="1s")
    assert sum(isinstance(event, WaitStarted) for event in events_of(place, row)) == 2 * BEGUN_MAX
