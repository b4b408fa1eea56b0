"""A saga whose participant is a ledger in a SQLite file of its own: ground truth for tests with real processes.

The participant deduplicates by key, and writes down every request as well as every effect.
"""

import os
import sqlite3
import time

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic


class Order(BaseModel):
    """A trigger; `refuse` names a step that the participant refuses, `slow_ms` makes every request take a while."""

    id: str
    refuse: str = ""
    slow_ms: int = 0


class Booked(BaseModel):
    """What the participant answers."""

    key: str


ledger = Saga("ledger", version=1, trigger=Topic("ledger.orders", Order, idempotency_key="id"))


def _ask(ctx: Context, effect: str, trigger: Order) -> Booked:
    """One request: noted, refused or applied once per key."""
    with sqlite3.connect(os.environ["LEDGER"], timeout=30) as books:
        books.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", (ctx.idempotency_key, trigger.id, effect, ctx.epoch))
        if trigger.refuse == effect:
            raise StepRefused("the ledger says no")
        books.execute("INSERT OR IGNORE INTO effects VALUES (?, ?, ?)", (ctx.idempotency_key, trigger.id, effect))
    time.sleep(trigger.slow_ms / 1000)
    return Booked(key=ctx.idempotency_key)


def make_books(path: str) -> None:
    """Make the participant's tables."""
    with sqlite3.connect(path) as books:
        books.execute("PRAGMA journal_mode = WAL")
        books.execute("CREATE TABLE requests (key TEXT, order_id TEXT, effect TEXT, epoch INTEGER)")
        books.execute("CREATE TABLE effects (key TEXT PRIMARY KEY, order_id TEXT, effect TEXT)")


@ledger.action(idempotent=True)
def first(ctx: Context, trigger: Order) -> Booked:
    return _ask(ctx, "first", trigger)


@first.undo(verify="reply")
def undo_first(ctx: Context, trigger: Order, _booked: Booked | None = first.maybe) -> None:
    _ask(ctx, "undo_first", trigger)


@ledger.action(idempotent=True)
def second(ctx: Context, trigger: Order, _booked: Booked = first.result) -> Booked:
    return _ask(ctx, "second", trigger)


@second.undo(verify="reply")
def undo_second(ctx: Context, trigger: Order, _booked: Booked | None = second.maybe) -> None:
    _ask(ctx, "undo_second", trigger)


@ledger.action(idempotent=True)
def third(ctx: Context, trigger: Order, _booked: Booked = second.result) -> Booked:
    return _ask(ctx, "third", trigger)


@third.undo(verify="reply")
def undo_third(ctx: Context, trigger: Order, _booked: Booked | None = third.maybe) -> None:
    _ask(ctx, "undo_third", trigger)
