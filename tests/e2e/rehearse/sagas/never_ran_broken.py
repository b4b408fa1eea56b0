"""Stock is reserved, and the undo relies on what the reservation returned."""

from pydantic import BaseModel

from amends import Saga, Sql, Topic
from amends.connectors.sql import Transaction
from amends.testing import Sandbox, SqlStandIn

stock = Sql("stock", url="sqlite:///stock.db")


class Order(BaseModel):
    request_id: str
    sku: str
    quantity: int


class Reservation(BaseModel):
    request_id: str
    quantity: int


order = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"))


@order.action(dependency=stock)
async def reserve(trigger: Order) -> Reservation:
    def take(tx: Transaction) -> Reservation:
        tx.execute("UPDATE stock SET free = free - ? WHERE sku = ?", (trigger.quantity, trigger.sku))
        tx.execute("INSERT INTO reservations VALUES (?, ?)", (trigger.request_id, trigger.quantity))
        return Reservation(request_id=trigger.request_id, quantity=trigger.quantity)

    return await stock.perform(take, returns=Reservation)


@reserve.undo(verify="reply")
async def release(trigger: Order, reservation: Reservation | None = reserve.maybe) -> None:
    assert reservation is not None

    def give_back(tx: Transaction) -> None:
        tx.execute("UPDATE stock SET free = free + ? WHERE sku = ?", (reservation.quantity, trigger.sku))
        tx.execute("DELETE FROM reservations WHERE request_id = ?", (reservation.request_id,))

    await stock.undo(give_back)


sandbox = Sandbox(
    order,
    triggers=[{"request_id": "R-1", "sku": "tea", "quantity": 2}],
    stand_ins=[
        SqlStandIn(
            stock,
            script="CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER);"
            "CREATE TABLE reservations (request_id TEXT PRIMARY KEY, quantity INTEGER);"
            "INSERT INTO stock VALUES ('tea', 10);",
        ),
    ],
)
