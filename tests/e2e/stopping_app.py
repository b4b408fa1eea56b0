"""Bookings whose second step takes as long as its trigger says, beside a ledger of files named `booking effect key`."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Saga, Topic

LEDGER = Path(os.environ["LEDGER"])


class Booking(BaseModel):
    """A trigger. `how`: `awaits`, `blocks` its loop, or `thread`; it ends `within_s`, or when there is `released`."""

    id: str
    how: str = "awaits"
    within_s: float = 600


def note(ctx: Context, booking: Booking, effect: str) -> None:
    (LEDGER / f"{booking.id} {effect} {ctx.idempotency_key}").touch()


def over(booking: Booking, began: float) -> bool:
    return time.monotonic() - began > booking.within_s or (LEDGER.parent / "released").exists()


booking = Saga("booking", version=1, trigger=Topic("bookings", Booking, idempotency_key="id"))


@booking.action(idempotent=True)
def reserve(ctx: Context, trigger: Booking) -> None:
    note(ctx, trigger, "reserve")


@reserve.undo(verify="reply")
def release(ctx: Context, trigger: Booking) -> None:
    note(ctx, trigger, "release")


@booking.action(idempotent=True, after=reserve, when=booking.trigger.how != "thread", timeout="10m")
async def slow(ctx: Context, trigger: Booking) -> None:
    note(ctx, trigger, "asked")
    began = time.monotonic()
    while not over(trigger, began):
        if trigger.how == "blocks":
            time.sleep(0.02)  # noqa: ASYNC251  that is what it is here for
        else:
            await asyncio.sleep(0.02)
    note(ctx, trigger, "slow")


@slow.undo(verify="reply")
def unslow(ctx: Context, trigger: Booking) -> None:
    note(ctx, trigger, "unslow")


@booking.action(idempotent=True, after=reserve, when=booking.trigger.how == "thread", timeout="10m")
def threaded(ctx: Context, trigger: Booking) -> None:
    note(ctx, trigger, "asked")
    began = time.monotonic()
    while not over(trigger, began):
        time.sleep(0.02)
    note(ctx, trigger, "slow")


@threaded.undo(verify="reply")
def unthreaded(ctx: Context, trigger: Booking) -> None:
    note(ctx, trigger, "unslow")
