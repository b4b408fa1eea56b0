"""Sells theater tickets; whether they really count is read back later, and the house must never be oversold."""

import sqlite3
import sys

from pydantic import BaseModel, PositiveInt

from amends import Saga, Sql, Topic
from amends.connectors.sql import Transaction


class Sale(BaseModel):
    """What arrives on the topic `sales`."""

    request_id: str
    visitor: str
    seats: PositiveInt


house = Sql("house", url="sqlite:///house.db")

sale = Saga("sale", trigger=Topic("sales", Sale, idempotency_key="request_id", business_key="visitor"))


@sale.action(dependency=house, pivot=True)
async def sell(trigger: Sale) -> None:
    def write(tx: Transaction) -> None:
        tx.execute("INSERT INTO tickets VALUES (:visitor, :seats)", trigger.model_dump())

    await house.perform(write)


@sell.verify(verify_after="3s", verify_within="1s")
async def counts(trigger: Sale) -> bool:
    """Asked once the run has ended: after the night's bookkeeping, where time does not have to fit into an example."""
    mine = "SELECT seats FROM tickets WHERE visitor = ?"
    return await house.read(lambda tx: tx.fetch_one(mine, (trigger.visitor,))) == {"seats": trigger.seats}


@sale.expect
async def is_not_oversold() -> bool:
    """Holds of the whole, beside what each step claims."""
    sold = await house.read(lambda tx: tx.fetch_one("SELECT sum(seats) AS seats FROM tickets"))
    return sold is not None and int(str(sold["seats"])) <= 5  # noqa: PLR2004  the house is small


if __name__ == "__main__":  # The house's own books, made the first time; `strike VISITOR` takes a ticket out of them.
    with sqlite3.connect("house.db") as books:
        books.execute("CREATE TABLE IF NOT EXISTS tickets (visitor TEXT, seats INTEGER)")
        if sys.argv[1:2] == ["strike"]:
            books.execute("DELETE FROM tickets WHERE visitor = ?", sys.argv[2:])
