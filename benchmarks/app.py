"""The saga that is measured: three steps that do nothing but write into the ledger, each with an undo."""

import os
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Saga, Topic
from benchmarks.ledger import Ledger

ledger = Ledger(Path(os.environ["AMENDS_BENCH_LEDGER"]))


class Order(BaseModel):
    request: str
    order: str


class Passed(BaseModel):
    key: str


order = Saga(
    "bench-order",
    version=1,
    trigger=Topic("bench.orders", Order, idempotency_key="request", business_key="order"),
)


@order.action(idempotent=True)
async def a(trigger: Order) -> Passed:
    ledger.performed(trigger.request, "a")
    return Passed(key=trigger.request)


@a.undo(verify="reply")
async def undo_a(ctx: Context, passed: Passed | None = a.maybe) -> None:
    """Never called: nothing fails here."""


@order.action(idempotent=True)
async def b(passed: Passed = a.result) -> Passed:
    ledger.performed(passed.key, "b")
    return passed


@b.undo(verify="reply")
async def undo_b(ctx: Context, passed: Passed | None = b.maybe) -> None:
    """Never called."""


@order.action(idempotent=True)
async def c(passed: Passed = b.result) -> Passed:
    ledger.performed(passed.key, "c")
    return passed


@c.undo(verify="reply")
async def undo_c(ctx: Context, passed: Passed | None = c.maybe) -> None:
    """Never called."""
