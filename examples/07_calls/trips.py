"""Books a trip there and back: one saga reserves a seat, another calls it twice."""

import sqlite3

from pydantic import BaseModel

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction


class Ride(BaseModel):
    """One way, for one traveler."""

    train: str
    traveler: str


class Trip(BaseModel):
    """What arrives on the topic `trips`."""

    request_id: str
    traveler: str
    there: Ride
    back: Ride


railway = Sql("railway", url="sqlite:///railway.db")

seat = Saga("seat", trigger=Ride)  # It is only ever called, so it needs no topic.


@seat.action(dependency=railway)
async def reserve(trigger: Ride) -> int:
    def take(tx: Transaction) -> int:
        free = "SELECT min(seat) AS seat FROM seats WHERE train = ? AND traveler IS NULL"
        number = (tx.fetch_one(free, (trigger.train,)) or {})["seat"]
        if number is None:
            raise StepRefused(f"{trigger.train} is full", kind="full")
        tx.execute(
            "UPDATE seats SET traveler = ? WHERE train = ? AND seat = ?", (trigger.traveler, trigger.train, number)
        )
        return int(str(number))

    return await railway.perform(take, returns=int)


@reserve.undo(verify="reply")
async def cancel(trigger: Ride) -> None:
    free = "UPDATE seats SET traveler = NULL WHERE train = :train AND traveler = :traveler"
    await railway.undo(lambda tx: tx.execute(free, trigger.model_dump()))


@seat.result
def number(reserved: int = reserve.result) -> int:
    return reserved


trip = Saga("trip", trigger=Topic("trips", Trip, idempotency_key="request_id", business_key="traveler"))

there = trip.call("there", seat, trigger=trip.trigger.there, returns=number)
back = trip.call("back", seat, trigger=trip.trigger.back, returns=number, after=there)


@trip.result
def ticket(trigger: Trip, out: int = there.result, home: int = back.result) -> str:
    return f"{trigger.there.train} seat {out}, {trigger.back.train} seat {home}"


TABLES = """
CREATE TABLE IF NOT EXISTS seats (train TEXT, seat INTEGER, traveler TEXT, PRIMARY KEY (train, seat));
INSERT OR IGNORE INTO seats (train, seat) VALUES ('IC 17', 41), ('IC 17', 42), ('IC 18', 7);
"""

if __name__ == "__main__":  # The railway's own books, made the first time and shown each time.
    with sqlite3.connect("railway.db") as books:
        books.executescript(TABLES)
        for train, place, traveler in books.execute("SELECT train, seat, traveler FROM seats ORDER BY train, seat"):
            print(f"{train} seat {place}: {traveler or 'free'}")
