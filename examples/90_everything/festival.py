"""Organizes a village festival: one saga that uses everything a saga can say.

The village hall's books are a database; the band is a service of its own, in `band.py`. What may go wrong goes wrong
where a file says so: once each `line-cut` (the insurer's answer is lost) and `office-closed` (the treasurer is not in),
and for as long as they are there `rain` and `yard-locked` (nobody takes the tent back).
"""

import sqlite3
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, PositiveInt

from amends import (
    Budget,
    Context,
    Participant,
    Pending,
    Retry,
    Saga,
    Sql,
    StepRefused,
    StepUnavailable,
    StepUnknown,
    Topic,
    negate,
    one_of,
)
from amends.connectors.sql import Transaction

hall = Sql("hall", url="sqlite:///hall.db")
band = Participant("band", commands="band.commands", replies="band.replies")


class Stall(BaseModel):
    """One stall on the square. It is told apart by its number, which names nobody."""

    number: int
    name: str
    meters: PositiveInt


class Festival(BaseModel):
    """What the mayor asks for."""

    request_id: str
    festival: str
    mayor: str
    square: str
    guests: PositiveInt
    stalls: list[Stall]
    opens_at: datetime


class Benches(BaseModel):
    """How many are still missing; each round brings what one cart holds."""

    missing: int


class Approval(BaseModel):
    """What the fire brigade sends."""

    officer: str


class Greeting(BaseModel):
    """What the minister sends, or does not."""

    words: str


class Sky(BaseModel):
    """Whether it takes a tent or parasols."""

    rain: bool


class Promise(BaseModel):
    """What the band answers, when it gets to it."""

    plays_until: str


class Receipt(BaseModel):
    """What the treasurer answers, once the bills are paid."""

    number: int


def note(tx: Transaction, what: str) -> None:
    tx.execute("INSERT INTO books VALUES (?)", (what,))


def strike(tx: Transaction, what: str) -> None:
    tx.execute("DELETE FROM books WHERE what = ?", (what,))


async def stands(what: str) -> bool:
    return await hall.read(lambda tx: tx.fetch_one("SELECT 1 FROM books WHERE what = ?", (what,))) is not None


# A saga that is called for each stall of the list. One that is refused is left out.

pitching = Saga("pitching", trigger=Stall)


@pitching.action(dependency=hall)
async def pitch(trigger: Stall) -> str:
    if trigger.meters > 6:  # noqa: PLR2004  what a pitch holds
        raise StepRefused("a pitch has 6 meters", kind="too_long")
    await hall.perform(lambda tx: note(tx, f"stall of {trigger.name}"))
    return trigger.name


@pitch.verify
async def is_pitched(trigger: Stall) -> bool:
    return await stands(f"stall of {trigger.name}")


@pitch.undo
async def strike_stall(trigger: Stall) -> None:
    await hall.undo(lambda tx: strike(tx, f"stall of {trigger.name}"))


@strike_stall.verify
async def is_struck(trigger: Stall) -> bool:
    return not await stands(f"stall of {trigger.name}")


# A saga that is called in rounds, until there are enough benches.

carting = Saga("carting", trigger=Benches)


@carting.action(dependency=hall)
async def cart(trigger: Benches) -> Benches:
    def fetch(tx: Transaction) -> Benches:
        note(tx, f"benches, {trigger.missing} missing")
        return Benches(missing=max(0, trigger.missing - 40))

    return await hall.perform(fetch, returns=Benches)


@cart.undo(verify="reply")
async def cart_back(trigger: Benches) -> None:
    await hall.undo(lambda tx: strike(tx, f"benches, {trigger.missing} missing"))


# A saga that is called once, and whose answer gets lost.

insuring = Saga("insuring", trigger=Festival)


@insuring.action(dependency=hall)
async def insure(trigger: Festival) -> str:
    def issue(tx: Transaction) -> str:
        note(tx, f"policy for {trigger.festival}")
        return f"policy {trigger.request_id}"

    policy = await hall.perform(issue, returns=str)
    if once("line-cut"):
        raise StepUnknown("the line was cut")
    return policy


@insure.lookup
async def find_policy() -> str | None:
    return await hall.lookup(returns=str)


@insure.undo(verify="reply")
async def cancel_policy(trigger: Festival) -> None:
    await hall.undo(lambda tx: strike(tx, f"policy for {trigger.festival}"))


# The saga itself. First what takes long: the insurance and then the stalls, and beside them the benches.

festival = Saga(
    "festival",
    trigger=Topic("festivals", Festival, idempotency_key="request_id", business_key="festival", dedup_for="366d"),
    subject="mayor",
    locks={"square": "square"},
    budget=Budget(attempts=300, entries=2_000),
    deadline="1h",
)

insurance = festival.call("insurance", insuring, trigger=festival.trigger, returns=insure)
stalls = festival.for_each(
    "stalls",
    pitching,
    festival.trigger.stalls,
    key="number",
    concurrency=2,
    items_max=40,
    policy="collect",
    returns=pitch,
    after=insurance,
)


@festival.read
async def count_benches(trigger: Festival) -> Benches:
    return Benches(missing=trigger.guests // 6)


benches = festival.loop(
    "benches",
    carting,
    trigger=count_benches.result,
    until=cart.result.missing == 0,
    max=8,
    every="20ms",
    carry=True,
    returns=cart,
)

approval = festival.wait(
    "approval",
    Approval,
    correlation=festival.trigger.request_id,
    timeout="30m",
    on_timeout="fail",
    after=[stalls, benches],
)

# With the approval comes what the weather decides, and the band.


@festival.read(after=approval)
def forecast() -> Sky:
    """Whether it will rain."""
    return Sky(rain=stays("rain"))


outdoors = one_of(festival.trigger.square, "market", "meadow")


@festival.action(dependency=hall, when=forecast.result.rain & outdoors)
async def rent_tent(trigger: Festival) -> None:
    await hall.perform(lambda tx: note(tx, f"tent for {trigger.festival}"))


@rent_tent.undo
async def return_tent(trigger: Festival) -> None:
    if stays("yard-locked"):
        raise StepRefused("the yard of the tents is locked")
    await hall.undo(lambda tx: strike(tx, f"tent for {trigger.festival}"))


@return_tent.verify(verify_after="1s")
async def tent_is_back(trigger: Festival) -> bool:
    """The yard looks at it on the next day, where time does not have to fit into an example."""
    return not await stands(f"tent for {trigger.festival}")


@festival.action(dependency=hall, when=negate(forecast.result.rain) & outdoors)
async def rent_parasols(trigger: Festival) -> None:
    await hall.perform(lambda tx: note(tx, f"parasols for {trigger.festival}"))


@rent_parasols.undo(verify="reply")
async def return_parasols(trigger: Festival) -> None:
    await hall.undo(lambda tx: strike(tx, f"parasols for {trigger.festival}"))


@festival.action(dependency=band, pending_within="10m", after=approval)
async def hire_band(ctx: Context, trigger: Festival) -> Promise | Pending:
    """Send it a command. What comes of it is pending until it answers."""
    return await band.send(ctx, "book", {"festival": trigger.festival})


@hire_band.undo(verify="reply", pending_within="10m")
async def cancel_band(ctx: Context, trigger: Festival) -> Pending:
    return await band.send(ctx, "cancel", {"festival": trigger.festival})


# Then some waiting, and from the gates on there is no way back.

night = festival.pause("night", "100ms", after=approval)
opening = festival.wait_until("opening", festival.trigger.opens_at, after=night)
greeting = festival.wait(
    "greeting", Greeting, correlation=festival.trigger.request_id, timeout="300ms", on_timeout="skip", after=approval
)


@festival.action(dependency=hall, irreversible=True, after=[opening, rent_tent, rent_parasols])
async def invite(
    ctx: Context,
    trigger: Festival,
    approved: Approval = approval.result,
    promised: Promise = hire_band.result,
    greeted: Greeting | None = greeting.maybe,
) -> None:
    words = f"invitation to {trigger.festival}, music until {promised.plays_until}, safe by {approved.officer}"
    if greeted is not None:
        words += f': "{greeted.words}"'
    ctx.checkpoint("invitations_printed", copies=trigger.guests)
    await hall.perform(lambda tx: note(tx, words))


@invite.follow_up(verify="reply")
async def put_off(trigger: Festival) -> None:
    await hall.perform(lambda tx: note(tx, f"{trigger.festival} is put off"), independent=True)


@festival.action(dependency=hall, pivot=True, after=invite)
async def open_gates(trigger: Festival, sky: Sky = forecast.result) -> None:
    """From here on the festival takes place."""
    room = 400 if sky.rain else 500  # a tent takes up some of it
    if trigger.guests > room:
        raise StepRefused(f"the square holds {room}", kind="too_many")
    await hall.perform(lambda tx: note(tx, f"{trigger.festival} is open"))


@festival.action(dependency=hall, after=open_gates, retry=Retry(attempts=5, wait="50ms"), pending_within="10m")
async def pay_bills(trigger: Festival) -> Receipt | Pending:
    """Must succeed in the end: the treasurer says when."""
    if once("office-closed"):
        raise StepUnavailable("the treasurer is not in")
    await hall.perform(lambda tx: note(tx, f"bills of {trigger.festival}"))
    return Pending(correlation=f"bills of {trigger.request_id}")


@pay_bills.verify(verify_after="1s")
async def is_booked(trigger: Festival) -> bool:
    """The books are done at night: read back once the run has ended."""
    return await stands(f"bills of {trigger.festival}")


@festival.expect
async def everybody_is_insured(trigger: Festival, policy: str = insurance.result) -> bool:
    """What must hold of the whole, beside what each step claims: it makes a completed run a proven one."""
    return policy.startswith("policy") and await stands(f"policy for {trigger.festival}")


@festival.result
def report(
    trigger: Festival,
    policy: str = insurance.result,
    pitched: list[str | None] = stalls.result,
    left: Benches = benches.result,
    receipt: Receipt = pay_bills.result,
) -> str:
    names = ", ".join(name for name in pitched if name is not None)
    return f"{trigger.festival} under {policy}: {names}; {left.missing} benches missing, receipt {receipt.number}"


def stays(trouble: str) -> bool:
    """Whether this trouble is there; it stays for as long as nobody removes it."""
    return Path(trouble).exists()


def once(trouble: str) -> bool:
    """Whether this trouble comes now; it comes once."""
    try:
        Path(trouble).unlink()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":  # The hall's own books, made the first time and shown each time.
    with sqlite3.connect("hall.db") as books:
        books.execute("CREATE TABLE IF NOT EXISTS books (what TEXT)")
        for (what,) in books.execute("SELECT what FROM books ORDER BY what"):
            print(what)
