"""A booking is written down, then its stock is taken. The undo strikes the booking out first, and goes by it."""

from pydantic import BaseModel

from amends import Saga, Sql, Topic
from amends.connectors.sql import Transaction
from amends.testing import Sandbox, SqlStandIn

bookings = Sql("bookings", url="sqlite:///bookings.db")
stock = Sql("stock", url="sqlite:///stock.db")


class Order(BaseModel):
    request_id: str
    sku: str
    quantity: int


order = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"))


@order.action(dependency=bookings)
async def reserve(trigger: Order) -> None:
    def book(tx: Transaction) -> None:
        tx.execute("INSERT INTO bookings VALUES (?, ?)", (trigger.request_id, trigger.quantity))

    def take(tx: Transaction) -> None:
        tx.execute("UPDATE stock SET free = free - ? WHERE sku = ?", (trigger.quantity, trigger.sku))

    await bookings.perform(book)
    await stock.perform(take)


@reserve.undo(verify="reply")
async def release(trigger: Order) -> None:
    booked = await bookings.read(lambda tx: tx.fetch_one("SELECT * FROM bookings WHERE id = ?", (trigger.request_id,)))

    def give_back(tx: Transaction) -> None:
        assert booked is not None
        tx.execute("UPDATE stock SET free = free + ? WHERE sku = ?", (booked["quantity"], trigger.sku))

    def strike_out(tx: Transaction) -> None:
        tx.execute("DELETE FROM bookings WHERE id = ?", (trigger.request_id,))

    await bookings.undo(strike_out)
    if booked is not None:
        await stock.undo(give_back)


sandbox = Sandbox(
    order,
    triggers=[{"request_id": "R-1", "sku": "tea", "quantity": 2}],
    stand_ins=[
        SqlStandIn(bookings, script="CREATE TABLE bookings (id TEXT PRIMARY KEY, quantity INTEGER);"),
        SqlStandIn(
            stock,
            script="CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER); INSERT INTO stock VALUES ('tea', 10);",
        ),
    ],
)
