"""Named checkpoints: what a handler found worth telling, recorded with its reply, deciding nothing."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.attempt import CHECKPOINT_BYTES_MAX, CHECKPOINTS_MAX
from amends.coordinator.reading.checkpoints import checkpoints_of
from amends.coordinator.reading.history import payloads_of, run_history
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.events import CheckpointRecorded


class Order(BaseModel):
    id: str


LOOP: list[object] = []
LOOP.append(LOOP)


def told_by(*, refuses: bool = False, count: int = 1, **told: object) -> tuple[list[dict[str, Any]], World]:
    """What is told of a run whose one step records checkpoints."""
    saga = Saga("tickets", trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True)
    def create(ctx: Context, trigger: Order) -> str:
        for number in range(count):
            ctx.checkpoint("ticket_created", number=number, **told)
        if refuses:
            raise StepRefused("no more tickets")
        return trigger.id

    @create.verify
    def is_created(ctx: Context) -> bool:
        ctx.checkpoint("looked", status=200)
        return True

    @create.undo(verify="reply")
    def remove() -> None: ...

    store = MemoryStore()
    store.migrate(shards=1)
    world = World(store, saga, clock=Clock())
    world.publish(Order(id="7"))
    world.run()
    (row,) = store.runs()
    moments = run_history(store, row.saga_id)
    return checkpoints_of(moments, payloads_of(moments, store)), world


def test_a_checkpoint_is_told_with_its_values_and_where_it_stood() -> None:
    first, second = told_by(ticket_id="T-1")[0]
    assert {name: first[name] for name in ("name", "step", "direction", "role", "attempt")} == {
        "name": "ticket_created", "step": "create", "direction": "forward", "role": "step", "attempt": 1,
    }  # fmt: skip
    assert json.loads(bytes(first["values"])) == {"number": 0, "ticket_id": "T-1"}
    assert (second["name"], second["role"]) == ("looked", "verify")


def test_a_checkpoint_of_an_attempt_that_failed_is_kept() -> None:
    (only,), world = told_by(refuses=True)
    assert only["name"] == "ticket_created"
    assert world.store.runs()[0].status == "compensated"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param({1, 2}, [1, 2], id="a set"),
        pytest.param(math.inf, "Infinity", id="infinity"),
        pytest.param(object(), "<object>", id="an object"),
        pytest.param(LOOP, ["..."], id="a list that contains itself"),
        pytest.param(Order(id="3"), {"id": "3"}, id="a model"),
        pytest.param(b"\xff", "<bytes>", id="bytes that are no text"),
    ],
)
def test_whatever_a_checkpoint_tells_it_does_not_fail_the_step(value: object, told: object) -> None:
    found, world = told_by(value=value)
    assert world.store.runs()[0].status == "completed"
    assert json.loads(bytes(found[0]["values"]))["value"] == told


def test_a_checkpoint_that_tells_too_much_says_so() -> None:
    found, _ = told_by(text="x" * CHECKPOINT_BYTES_MAX)
    assert json.loads(bytes(found[0]["values"])) == "more than a checkpoint holds"


def test_checkpoints_beyond_the_limit_are_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    found, world = told_by(count=CHECKPOINTS_MAX + 2)
    assert sum(each["name"] == "ticket_created" for each in found) == CHECKPOINTS_MAX
    assert [record.message for record in caplog.records].count("checkpoint_dropped") == 2
    assert world.store.runs()[0].status == "completed"


def test_outside_an_attempt_a_checkpoint_does_nothing() -> None:
    saga = Saga("tickets", trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.read
    def look(ctx: Context) -> int:
        ctx.checkpoint("looked")
        return 1

    by_hand = Context(
        saga_id="s", saga="tickets", namespace="test", business_key="7", step="look", attempt=1, idempotency_key="k",
        deadline=datetime.now(UTC), epoch=1,
    )  # fmt: skip
    assert look(by_hand) == 1


def test_the_event_names_the_digest_of_what_it_tells() -> None:
    _, world = told_by(ticket_id="T-1")
    moments = run_history(world.store, world.store.runs()[0].saga_id)
    events = [event for moment in moments for event in moment.entry.events if isinstance(event, CheckpointRecorded)]
    carried = {digest for moment in moments for digest in moment.entry.payloads}
    assert {event.body for event in events} <= carried
