"""What runs have waited for, by their logs: messages by key and type, answers by their keys."""

from pydantic import BaseModel

from amends import Context, Pending, Saga, Topic
from amends.coordinator.ports.rows import ANSWER
from amends.coordinator.reading.past_waits import past_waits_of
from amends.testing import world


class Order(BaseModel):
    id: str
    number: int


class Arrival(BaseModel):
    pallets: int


def orders() -> Saga[Order]:
    saga = Saga("order", trigger=Topic("orders", Order, idempotency_key="id"), deadline="1h")

    @saga.action(idempotent=True, pending_within="10m")
    def book(ctx: Context, trigger: Order) -> str | Pending:
        return Pending(correlation=f"book-{trigger.id}")

    @book.undo(verify="reply")
    def cancel() -> None: ...

    saga.wait("goods", Arrival, correlation=saga.trigger.number, timeout="10m", type="goods.arrived", after=book)
    saga.pause("rest", "1s", after=book)
    return saga


def test_messages_and_answers_are_named_by_key_and_type() -> None:
    installation = world(orders())
    installation.publish({"id": "a", "number": 7})
    installation.publish({"id": "b", "number": 8})
    installation.run(until=installation.clock.now + 1)
    first, second = sorted(installation.store.runs(), key=lambda row: row.idempotency_key)
    assert past_waits_of(installation.store, [first.saga_id]) == [("book-a", ANSWER)]
    installation.send("answer", "book-a", "booked", answer="succeeded")
    installation.run(until=installation.clock.now + 1)
    assert past_waits_of(installation.store, [first.saga_id]) == [("7", "goods.arrived"), ("book-a", ANSWER)]
    assert past_waits_of(installation.store, [second.saga_id, first.saga_id]) == [
        ("7", "goods.arrived"),
        ("book-a", ANSWER),
        ("book-b", ANSWER),
    ]
    assert past_waits_of(installation.store, []) == []
