"""Rents out bikes: hold one, then hand it over, or leave the shop as it was."""

import sqlite3

from pydantic import BaseModel

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction


class Rental(BaseModel):
    """What arrives on the topic `rentals`."""

    request_id: str
    bike: str
    customer: str
    age: int


shop = Sql("shop", url="sqlite:///shop.db")

rental = Saga("rental", trigger=Topic("rentals", Rental, idempotency_key="request_id", business_key="bike"))


@rental.action(dependency=shop)
async def hold(trigger: Rental) -> None:
    """Set the bike aside for the customer."""

    def take(tx: Transaction) -> None:
        free = "UPDATE bikes SET held_for = :customer WHERE bike = :bike AND held_for IS NULL"
        if not tx.execute(free, trigger.model_dump()):
            raise StepRefused(f"the {trigger.bike} is out")

    await shop.perform(take)


@hold.undo
async def put_back(trigger: Rental) -> None:
    """Set it free again: the step's own undo, called when a later step has failed."""
    await shop.undo(lambda tx: tx.execute("UPDATE bikes SET held_for = NULL WHERE bike = ?", (trigger.bike,)))


@put_back.verify
async def is_back(trigger: Rental) -> bool:
    """Read back from the world whether the undo has worked."""
    held = "SELECT 1 FROM bikes WHERE bike = ? AND held_for IS NOT NULL"
    return await shop.read(lambda tx: tx.fetch_one(held, (trigger.bike,))) is None


@rental.action(dependency=shop, after=hold, irreversible=True)
async def hand_over(trigger: Rental) -> None:
    """Let the customer ride away."""

    def sign_out(tx: Transaction) -> None:
        if trigger.age < 16:  # noqa: PLR2004  the shop's rule
            raise StepRefused("customers are 16 or older", kind="too_young")
        tx.execute("INSERT INTO rides (bike, customer) VALUES (:bike, :customer)", trigger.model_dump())

    await shop.perform(sign_out)


TABLES = """
CREATE TABLE IF NOT EXISTS bikes (bike TEXT PRIMARY KEY, held_for TEXT);
CREATE TABLE IF NOT EXISTS rides (bike TEXT, customer TEXT);
INSERT OR IGNORE INTO bikes (bike) VALUES ('tandem'), ('racer');
"""

if __name__ == "__main__":  # The shop's own books, made the first time and shown each time.
    with sqlite3.connect("shop.db") as books:
        books.executescript(TABLES)
        for bike, held_for in books.execute("SELECT bike, held_for FROM bikes ORDER BY bike"):
            print(f"{bike}: {held_for or 'free'}")
