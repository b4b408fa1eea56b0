"""Tiles a bathroom: measure, choose a supplier, order, wait for the tiles, lay them."""

import sqlite3
from pathlib import Path

from pydantic import BaseModel, PositiveInt

from amends import Saga, Sql, Topic
from amends.connectors.sql import Transaction


class Bathroom(BaseModel):
    """What a customer asks for."""

    request_id: str
    customer: str
    square_meters: PositiveInt


class Tiles(BaseModel):
    """The message that a truck has come."""

    boxes: int


shop = Sql("shop", url="sqlite:///shop.db")

bathroom = Saga(
    "bathroom",
    trigger=Topic("bathrooms", Bathroom, idempotency_key="request_id", business_key="customer"),
    deadline="60d",
)


@bathroom.read
def measure(trigger: Bathroom) -> int:
    """How many boxes it takes."""
    return trigger.square_meters + 2


@bathroom.read(after=measure)
def choose_supplier() -> str:
    """Read it from the shop's own list."""
    return Path("supplier").read_text(encoding="utf-8").strip()


@bathroom.action(dependency=shop)
async def order(trigger: Bathroom, boxes: int = measure.result, supplier: str = choose_supplier.result) -> None:
    def write(tx: Transaction) -> None:
        tx.execute("INSERT INTO orders VALUES (?, ?, ?)", (supplier, boxes, trigger.customer))

    await shop.perform(write)


@order.undo(verify="reply")
async def cancel(trigger: Bathroom) -> None:
    await shop.undo(lambda tx: tx.execute("DELETE FROM orders WHERE customer = ?", (trigger.customer,)))


tiles = bathroom.wait(
    "tiles",
    Tiles,
    correlation=bathroom.trigger.customer,
    timeout="6s",  # two weeks, where time does not have to fit into an example
    on_timeout="park",
    after=order,
)


@bathroom.action(dependency=shop, irreversible=True)
async def lay(trigger: Bathroom, delivered: Tiles = tiles.result) -> int:
    return await shop.perform(lambda _: delivered.boxes, returns=int)


if __name__ == "__main__":  # The shop's own books, made the first time and shown each time.
    with sqlite3.connect("shop.db") as books:
        books.execute("CREATE TABLE IF NOT EXISTS orders (supplier TEXT, boxes INTEGER, customer TEXT)")
        for supplier, boxes, customer in books.execute("SELECT supplier, boxes, customer FROM orders"):
            print(f"{supplier}: {boxes} boxes for {customer}")
