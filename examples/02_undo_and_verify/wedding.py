"""Plans a wedding: book the hall, book the band, sign; or cancel what was booked, last first."""

import sqlite3

from pydantic import BaseModel, PositiveInt

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction


class Wedding(BaseModel):
    """What the couple wishes for."""

    request_id: str
    couple: str
    hall: str
    band: str
    budget: PositiveInt


town = Sql("town", url="sqlite:///town.db")

wedding = Saga("wedding", trigger=Topic("weddings", Wedding, idempotency_key="request_id", business_key="couple"))


def book(tx: Transaction, what: str, couple: str) -> int:
    """Book it for the couple; what it costs."""
    take = "UPDATE offers SET couple = ? WHERE what = ? AND couple IS NULL RETURNING price"
    if (booked := tx.fetch_one(take, (couple, what))) is None:
        raise StepRefused(f"the {what} is taken")
    return int(str(booked["price"]))


async def cancel(what: str) -> None:
    """Undo a booking. Where the booking never came, its key is buried, so that it cannot come late."""
    await town.undo(lambda tx: tx.execute("UPDATE offers SET couple = NULL WHERE what = ?", (what,)))


async def is_free(what: str) -> bool:
    """Read back whether nobody has it."""
    booked = "SELECT 1 FROM offers WHERE what = ? AND couple IS NOT NULL"
    return await town.read(lambda tx: tx.fetch_one(booked, (what,))) is None


@wedding.action(dependency=town)
async def hall(trigger: Wedding) -> int:
    return await town.perform(lambda tx: book(tx, trigger.hall, trigger.couple), returns=int)


@hall.undo
async def cancel_hall(trigger: Wedding) -> None:
    await cancel(trigger.hall)


@cancel_hall.verify
async def hall_is_free(trigger: Wedding) -> bool:
    return await is_free(trigger.hall)


@wedding.action(dependency=town, after=hall)
async def band(trigger: Wedding) -> int:
    return await town.perform(lambda tx: book(tx, trigger.band, trigger.couple), returns=int)


@band.undo
async def cancel_band(trigger: Wedding) -> None:
    await cancel(trigger.band)


@cancel_band.verify
async def band_is_free(trigger: Wedding) -> bool:
    return await is_free(trigger.band)


@wedding.action(dependency=town, irreversible=True)
async def sign(trigger: Wedding, for_hall: int = hall.result, for_band: int = band.result) -> None:
    """Sign the contract. What is signed is signed: it cannot be undone, and says so."""

    def contract(tx: Transaction) -> None:
        if for_hall + for_band > trigger.budget:
            raise StepRefused(f"{for_hall + for_band} is more than {trigger.budget}", kind="too_dear")
        tx.execute("INSERT INTO contracts VALUES (?, ?)", (trigger.couple, for_hall + for_band))

    await town.perform(contract)


TABLES = """
CREATE TABLE IF NOT EXISTS offers (what TEXT PRIMARY KEY, price INTEGER, couple TEXT);
CREATE TABLE IF NOT EXISTS contracts (couple TEXT PRIMARY KEY, price INTEGER);
INSERT OR IGNORE INTO offers (what, price) VALUES
    ('old mill', 4000), ('town hall', 1500), ('brass band', 1200), ('string quartet', 2200);
CREATE TRIGGER IF NOT EXISTS no_cancellation BEFORE UPDATE OF couple ON offers
WHEN old.what = 'brass band' AND new.couple IS NULL
BEGIN SELECT RAISE(ABORT, 'the brass band cancels by phone only'); END;
"""

if __name__ == "__main__":  # The town's own books, made the first time and shown each time.
    with sqlite3.connect("town.db") as books:
        books.executescript(TABLES)
        for what, couple in books.execute("SELECT what, couple FROM offers ORDER BY what"):
            print(f"{what}: {couple or 'free'}")
