"""A saga whose participant is a ledger in a folder of its own: ground truth for tests with real processes.

The participant deduplicates by key: an effect is a file that is made exclusively, so a worker that is frozen while it
asks holds no lock that would stop the others.
"""

import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic


class Order(BaseModel):
    """A trigger; `refuse` names the effects that are refused, `slow_ms` makes every request take a while."""

    id: str
    refuse: str = ""
    slow_ms: int = 0


class Booked(BaseModel):
    """What the participant answers."""

    key: str


ledger = Saga("ledger", version=1, trigger=Topic("ledger.orders", Order, idempotency_key="id"))


def _ask(ctx: Context, effect: str, trigger: Order) -> Booked:
    """One request: refused, or applied once per key."""
    if effect in trigger.refuse.split():
        raise StepRefused("the ledger says no")
    name = " ".join(quote(part, safe="") for part in (trigger.id, effect, ctx.idempotency_key))
    with suppress(FileExistsError):
        Path(os.environ["LEDGER"], name).touch(exist_ok=False)
    time.sleep(trigger.slow_ms / 1000)
    return Booked(key=ctx.idempotency_key)


def effects(ledger_folder: Path) -> Counter[tuple[str, str]]:
    """What the participant did: how often for each order and effect."""
    names = (file.name.split(" ") for file in ledger_folder.iterdir())
    return Counter((unquote(order), unquote(effect)) for order, effect, _key in names)


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
