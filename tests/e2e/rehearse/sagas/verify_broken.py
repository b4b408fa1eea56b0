"""Stock is reserved, then a card is charged. Nobody looks whether it is given back."""

from pydantic import BaseModel

from amends import Saga, Sql, Topic
from amends.connectors.sql import Transaction
from amends.testing import Sandbox, SqlStandIn

stock = Sql("stock", url="sqlite:///stock.db")
ledger = Sql("ledger", url="sqlite:///ledger.db")


class Order(BaseModel):
    request_id: str
    sku: str
    quantity: int


order = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"))


@order.action(dependency=stock)
async def reserve(trigger: Order) -> None:
    def take(tx: Transaction) -> None:
        tx.execute(
            "UPDATE stock SET free = free - ?, reserved = reserved + ? WHERE sku = ?",
            (trigger.quantity, trigger.quantity, trigger.sku),
        )

    await stock.perform(take)


@reserve.undo
async def release(trigger: Order) -> None:
    def give_back(tx: Transaction) -> None:
        tx.execute(
            "UPDATE stock SET free = free + ?, reserved = reserved - ? WHERE sku = ?",
            (trigger.quantity, trigger.quantity, trigger.sku),
        )

    await stock.undo(give_back)


@release.verify
async def is_released() -> bool:
    return True


@order.action(dependency=ledger, after=reserve)
async def charge(trigger: Order) -> None:
    def book(tx: Transaction) -> None:
        tx.execute("INSERT INTO charges VALUES (?, ?)", (trigger.request_id, trigger.quantity * 100))

    await ledger.perform(book)


@charge.undo(verify="reply")
async def refund(trigger: Order) -> None:
    await ledger.undo(lambda tx: tx.execute("DELETE FROM charges WHERE request_id = ?", (trigger.request_id,)))


sandbox = Sandbox(
    order,
    triggers=[Order(request_id="R-1", sku="tea", quantity=2)],
    stand_ins=[
        SqlStandIn(
            stock,
            script="CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER, reserved INTEGER);"
            "INSERT INTO stock VALUES ('tea', 10, 0), ('mug', 3, 0);",
        ),
        SqlStandIn(ledger, script="CREATE TABLE charges (request_id TEXT PRIMARY KEY, cents INTEGER);"),
    ],
)
