"""Feeds a sourdough: again and again, until there is enough of it for the bread."""

import sqlite3

from pydantic import BaseModel, PositiveInt

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction


class Dough(BaseModel):
    """What arrives on the topic `doughs`, and what each round leaves."""

    request_id: str
    bakery: str
    grams: PositiveInt
    wanted: PositiveInt


pantry = Sql("pantry", url="sqlite:///pantry.db")

feeding = Saga("feeding", trigger=Dough)  # called in rounds


@feeding.action(dependency=pantry)
async def feed(trigger: Dough) -> Dough:
    def double(tx: Transaction) -> Dough:
        if not tx.execute("UPDATE flour SET grams = grams - ? WHERE grams >= ?", (trigger.grams, trigger.grams)):
            raise StepRefused("there is not enough flour", kind="no_flour")
        return trigger.model_copy(update={"grams": 2 * trigger.grams})

    return await pantry.perform(double, returns=Dough)


@feed.undo(verify="reply")
async def put_back(trigger: Dough) -> None:
    await pantry.undo(lambda tx: tx.execute("UPDATE flour SET grams = grams + ?", (trigger.grams,)))


@feeding.read
def is_enough(dough: Dough = feed.result) -> bool:
    return dough.grams >= dough.wanted


bread = Saga("bread", trigger=Topic("doughs", Dough, idempotency_key="request_id", business_key="bakery"))

dough = bread.loop(
    "dough",
    feeding,
    trigger=bread.trigger,
    until=is_enough.result,
    max=6,  # Every loop has an end.
    carry=True,  # A round begins with what the one before returned.
    returns=feed,
)


@bread.result
def risen(ready: Dough = dough.result) -> str:
    return f"{ready.grams} g"


if __name__ == "__main__":  # The pantry's own books, made the first time and shown each time.
    with sqlite3.connect("pantry.db") as books:
        books.execute("CREATE TABLE IF NOT EXISTS flour (grams INTEGER)")
        books.execute("INSERT INTO flour SELECT 1000 WHERE NOT EXISTS (SELECT 1 FROM flour)")
        print(*books.execute("SELECT grams FROM flour").fetchone(), "g of flour")
