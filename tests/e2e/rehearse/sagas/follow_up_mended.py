"""The customer is told before the parcel is on its way. If it cannot be sent, another letter says so."""

from pydantic import BaseModel

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction
from amends.testing import Sandbox, SqlStandIn

letters = Sql("letters", url="sqlite:///letters.db")
stock = Sql("stock", url="sqlite:///stock.db")


class Order(BaseModel):
    request_id: str
    sku: str


order = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"))


def letter(order: Order, text: str) -> tuple[str, tuple[str, str]]:
    return "INSERT INTO letters (request_id, text) VALUES (?, ?)", (order.request_id, text)


@order.action(dependency=letters, irreversible=True)
async def notify(trigger: Order) -> None:
    def write(tx: Transaction) -> None:
        tx.execute(*letter(trigger, "it is on its way"))

    await letters.perform(write)


@notify.follow_up(verify="reply")
async def apologize(trigger: Order) -> None:
    def write(tx: Transaction) -> None:
        tx.execute(*letter(trigger, "it is not on its way after all"))

    await letters.undo(write)


@order.action(dependency=stock, after=notify)
async def ship(trigger: Order) -> None:
    def take(tx: Transaction) -> None:
        if not tx.execute("UPDATE stock SET free = free - 1 WHERE sku = ? AND free > 0", (trigger.sku,)):
            raise StepRefused("sold out", kind="sold_out")

    await stock.perform(take)


@ship.undo(verify="reply")
async def unship(trigger: Order) -> None:
    def give_back(tx: Transaction) -> None:
        tx.execute("UPDATE stock SET free = free + 1 WHERE sku = ?", (trigger.sku,))

    await stock.undo(give_back)


sandbox = Sandbox(
    order,
    triggers=[{"request_id": "R-1", "sku": "tea"}, {"request_id": "R-2", "sku": "mug"}],
    stand_ins=[
        SqlStandIn(letters, script="CREATE TABLE letters (n INTEGER PRIMARY KEY, request_id TEXT, text TEXT);"),
        SqlStandIn(
            stock,
            script="CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER);"
            "INSERT INTO stock VALUES ('tea', 10), ('mug', 0);",
        ),
    ],
)
