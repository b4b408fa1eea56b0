"""Sends a company's Christmas parcels: a courier for each of them; all, or as many as can be sent."""

import sqlite3

from pydantic import BaseModel

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction


class Parcel(BaseModel):
    """One of the parcels."""

    to: str
    town: str


class Christmas(BaseModel):
    """What a company asks for."""

    request_id: str
    company: str
    parcels: list[Parcel]


couriers = Sql("couriers", url="sqlite:///couriers.db")

sending = Saga("sending", trigger=Parcel)  # called once for each parcel


@sending.action(dependency=couriers)
async def book(trigger: Parcel) -> str:
    def call_courier(tx: Transaction) -> str:
        if trigger.town == "Atlantis":
            raise StepRefused("no courier goes to Atlantis", kind="not_served")
        tx.execute("INSERT INTO rides VALUES (:to, :town)", trigger.model_dump())
        return f"{trigger.to} in {trigger.town}"

    return await couriers.perform(call_courier, returns=str)


@book.undo(verify="reply")
async def cancel(trigger: Parcel) -> None:
    send_back = 'DELETE FROM rides WHERE "to" = :to AND town = :town'
    await couriers.undo(lambda tx: tx.execute(send_back, trigger.model_dump()))


all_of_them = Saga("all", trigger=Topic("all", Christmas, idempotency_key="request_id", business_key="company"))
rides = all_of_them.for_each("rides", sending, all_of_them.trigger.parcels, key="to", returns=book, concurrency=2)


@all_of_them.result
def sent(booked: list[str] = rides.result) -> list[str]:
    return booked


most_of_them = Saga("most", trigger=Topic("most", Christmas, idempotency_key="request_id", business_key="company"))
tried = most_of_them.for_each(
    "rides", sending, most_of_them.trigger.parcels, key="to", returns=book, concurrency=2, policy="collect"
)


@most_of_them.result
def sent_or_not(booked: list[str | None] = tried.result) -> list[str | None]:
    return booked


if __name__ == "__main__":  # The couriers' own books, made the first time and shown each time.
    with sqlite3.connect("couriers.db") as books:
        books.execute('CREATE TABLE IF NOT EXISTS rides ("to" TEXT, town TEXT)')
        for to, town in books.execute('SELECT "to", town FROM rides ORDER BY town'):
            print(f"{to} in {town}")
