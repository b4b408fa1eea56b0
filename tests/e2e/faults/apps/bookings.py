"""Bookings whose second step does whatever its trigger says, beside a ledger in a folder of its own.

The ledger deduplicates by key: an effect is a file that is made exclusively.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from pydantic import BaseModel

from amends import Context, Retry, Saga, StepRefused, StepUnavailable, StepUnknown, Topic

LEDGER = Path(os.environ["LEDGER"])
ONCE = Retry(attempts=2, wait="10ms")


class Booking(BaseModel):
    """A trigger: `how` says what becomes of it."""

    id: str
    how: str = ""


class Booked(BaseModel):
    """What the participant answers."""

    key: str


class Unprintable(Exception):
    """Even asking what is wrong goes wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no text either")


def book(ctx: Context, effect: str, trigger: Booking) -> Booked:
    """One effect in the ledger, applied once per key."""
    with suppress(FileExistsError):
        ledger_file(trigger, effect, ctx.idempotency_key).touch(exist_ok=False)
    return Booked(key=ctx.idempotency_key)


def ledger_file(trigger: Booking, effect: str, key: str) -> Path:
    return LEDGER / " ".join(quote(part, safe="") for part in (trigger.id, effect, key))


def booked(trigger: Booking, effect: str) -> bool:
    """Whether the ledger has the effect."""
    return any(LEDGER.glob(f"{quote(trigger.id, safe='')} {quote(effect, safe='')} *"))


def released(name: str) -> Path:
    """A handler that hangs in a thread goes on when this file is made."""
    return LEDGER.parent / f"release-{name}"


def hang(trigger: Booking) -> None:
    """Block this thread until a test lets go of it."""
    while not released(trigger.id).exists():
        time.sleep(0.02)


def raising(error: BaseException) -> Callable[[Booking], NoReturn]:
    def throw(_trigger: Booking) -> NoReturn:
        raise error

    return throw


async def leave() -> NoReturn:
    raise SystemExit(0)


def recurse(trigger: Booking) -> Any:
    return recurse(trigger)


def looped() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


WRONG: dict[str, Callable[[Booking], Any]] = {
    "refuses": raising(StepRefused("no room")),
    "is never available": raising(StepUnavailable("closed")),
    "raises": raising(ValueError("bad luck")),
    "raises much": raising(ValueError("x" * 10_000_000)),
    "raises control characters": raising(ValueError("\x1b[31m\x00\ud800\n")),
    "raises a group": raising(ExceptionGroup("many", [ValueError("one"), OSError("two")])),
    "raises what cannot be printed": raising(Unprintable()),
    "raises SystemExit": raising(SystemExit(0)),
    "raises KeyboardInterrupt": raising(KeyboardInterrupt()),
    "raises CancelledError": raising(asyncio.CancelledError()),
    "raises GeneratorExit": raising(GeneratorExit()),
    "raises MemoryError": raising(MemoryError()),
    "raises StopIteration": raising(StopIteration()),
    "recurses": recurse,
    "returns nothing": lambda _: None,
    "returns another type": lambda _: 17,
    "returns an object": lambda _: object(),
    "returns a loop": lambda _: looped(),
    "returns a lone surrogate": lambda _: Booked(key="\ud800"),
    "returns what nobody awaits": lambda _: leave(),
    "returns 20 MB": lambda _: Booked(key="x" * 20_000_000),
}
"""What a handler can do wrong, and end."""


bookings = Saga("booking", version=1, trigger=Topic("bookings", Booking, idempotency_key="id"), deadline="40s")


@bookings.action(idempotent=True)
async def hold(ctx: Context, trigger: Booking) -> Booked:
    return book(ctx, "hold", trigger)


@hold.undo(retry=ONCE)
async def release(ctx: Context, trigger: Booking, _held: Booked | None = hold.maybe) -> None:
    if trigger.how == "cannot be undone":
        raise ValueError("stuck")
    book(ctx, "release", trigger)


@release.verify(verify_within="300ms")
async def is_released(ctx: Context, trigger: Booking) -> bool:
    return booked(trigger, "release")


@bookings.action(idempotent=True, retry=ONCE)
async def charge(ctx: Context, trigger: Booking, _held: Booked = hold.result) -> Booked:
    if trigger.how == "cannot be undone":
        raise StepRefused("no money")
    if wrong := WRONG.get(trigger.how):
        result: Booked = wrong(trigger)
        return result
    if trigger.how == "stops its loop":
        asyncio.get_running_loop().stop()
    if trigger.how == "leaves in a task":
        with suppress(SystemExit):
            await asyncio.gather(leave())
    return book(ctx, "charge", trigger)


@charge.undo(verify="reply")
async def refund(ctx: Context, trigger: Booking, _charged: Booked | None = charge.maybe) -> None:
    book(ctx, "refund", trigger)


deaths = Saga("death", version=1, trigger=Topic("deaths", Booking, idempotency_key="id"))


@deaths.action(idempotent=True)
async def live(ctx: Context, trigger: Booking) -> Booked:
    """Take a moment; with `kills the process`, take everybody along."""
    await asyncio.sleep(0.05)
    if trigger.how == "kills the process":
        with (LEDGER.parent / "deaths").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return book(ctx, "live", trigger)


@live.undo(verify="reply")
async def unlive(ctx: Context, trigger: Booking, _lived: Booked | None = live.maybe) -> None:
    book(ctx, "unlive", trigger)


threads = Saga("thread", version=1, trigger=Topic("threads", Booking, idempotency_key="id"), deadline="40s")


@threads.action(idempotent=True, retry=ONCE)
def carry(ctx: Context, trigger: Booking) -> Booked:
    if wrong := WRONG.get(trigger.how):
        result: Booked = wrong(trigger)
        return result
    if trigger.how == "leaves a thread":
        threading.Thread(target=threading.Event().wait).start()
    return book(ctx, "carry", trigger)


@carry.undo(verify="reply")
def carry_back(ctx: Context, trigger: Booking, _carried: Booked | None = carry.maybe) -> None:
    book(ctx, "carry_back", trigger)


unknowns = Saga("unknown", version=1, trigger=Topic("unknowns", Booking, idempotency_key="id"), deadline="40s")


@unknowns.action(timeout="300ms", retry=ONCE, settle_within="5s")
async def send(ctx: Context, trigger: Booking) -> Booked:
    if trigger.how == "hangs after its effect":
        book(ctx, "send", trigger)
        await asyncio.Event().wait()
    if trigger.how == "hangs before its effect" and not booked(trigger, "asked"):
        book(ctx, "asked", trigger)
        await asyncio.Event().wait()
    if trigger.how == "does not know":
        raise StepUnknown("connection lost")
    return book(ctx, "send", trigger)


@send.lookup
async def find(ctx: Context, trigger: Booking) -> Booked | None:
    if trigger.how == "does not know":
        raise StepUnavailable("nobody answers")
    return Booked(key=ctx.idempotency_key) if booked(trigger, "send") else None


@send.undo(verify="reply")
async def send_back(ctx: Context, trigger: Booking, _sent: Booked | None = send.maybe) -> None:
    book(ctx, "send_back", trigger)


waits = Saga("wait", version=1, trigger=Topic("waits", Booking, idempotency_key="id"), deadline="40s")


@waits.action(idempotent=True, timeout="500ms", retry=ONCE, settle_within="1s", drain_within="1s")
async def wait(ctx: Context, trigger: Booking) -> Booked:
    if trigger.how == "hangs":
        await asyncio.Event().wait()
    if trigger.how == "is deaf":
        while not released(trigger.id).exists():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)
    if trigger.how == "blocks its loop":
        hang(trigger)
    return book(ctx, "wait", trigger)


@wait.undo(verify="reply")
async def unwait(ctx: Context, trigger: Booking, _waited: Booked | None = wait.maybe) -> None:
    book(ctx, "unwait", trigger)


stalls = Saga("stall", version=1, trigger=Topic("stalls", Booking, idempotency_key="id"), deadline="40s")


@stalls.action(idempotent=True, timeout="500ms", retry=ONCE, settle_within="5s", drain_within="1s")
def stall(ctx: Context, trigger: Booking) -> Booked:
    """Hang in a thread until a test lets go of it."""
    book(ctx, "attempt", trigger)
    hang(trigger)
    return book(ctx, "stall", trigger)


@stall.undo(verify="reply")
def unstall(ctx: Context, trigger: Booking, _stalled: Booked | None = stall.maybe) -> None:
    book(ctx, "unstall", trigger)
