"""A saga that is changed while its runs are open. What it is today stands in SAGA_TODAY, as a deployment would say it.

The participant keeps its books as files named `trip effect key` in LEDGER; a file `closed` beside it closes it.
"""

import os
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Retry, Saga, StepRefused, StepUnavailable, Topic

TODAY = os.environ.get("SAGA_TODAY", "as it was").split(", ")
BOOKS = Path(os.environ["LEDGER"])
VERSION = 2 if "version 2" in TODAY else 1
PATIENT = Retry(attempts=1_000, wait="50ms", factor=1, wait_max="100ms")


class Trip(BaseModel):
    """A trigger; one that `fails` is refused a room, so that its seat is given back."""

    id: str
    fails: bool = False


class Seat(BaseModel):
    """What the first step gives to the others."""

    number: int
    if "required field" in TODAY:
        row: str
    if "optional field" in TODAY:
        window: bool = False


def ask(ctx: Context, trip: Trip, effect: str) -> None:
    """One request to the participant."""
    if (BOOKS.parent / "closed").exists() and effect != "seat":
        raise StepUnavailable("the participant is closed")
    (BOOKS / f"{trip.id} {effect} {ctx.idempotency_key}").touch()


trip = Saga("trip", version=VERSION, trigger=Topic("trips", Trip, idempotency_key="id"))


def book_seat(ctx: Context, trigger: Trip) -> Seat:
    ask(ctx, trigger, "seat")
    return Seat(number=7, **({"row": "A"} if "required field" in TODAY else {}))


book_seat.__name__ = "place" if "renamed step" in TODAY else "seat"
seat = trip.action(idempotent=True)(book_seat)


def give_back(ctx: Context, trigger: Trip) -> None:
    ask(ctx, trigger, "seat-given-back")


give_back.__name__ = "free_the_seat" if "renamed function" in TODAY else "give_back"
seat.undo(verify="reply", retry=PATIENT)(give_back)

if "no room" not in TODAY:

    @trip.action(idempotent=True, retry=PATIENT)
    def room(ctx: Context, trigger: Trip, seat: Seat = seat.result) -> None:
        if trigger.fails:
            raise StepRefused("no room")
        ask(ctx, trigger, f"room-for-{seat.number}")

    @room.undo(verify="reply")
    def leave_room(ctx: Context, trigger: Trip) -> None:
        ask(ctx, trigger, "room-given-back")
