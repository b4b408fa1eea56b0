"""Organizes a village festival: one saga that uses everything a saga can say.

The village hall's books are a database. Two things go wrong on purpose, once each, where a file says so: `line-cut`
(the insurer's answer is lost) and `office-closed` (the treasurer is not in).
"""

import sqlite3
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, PositiveInt

from amends import (
    Budget,
    Context,
    Pending,
    Retry,
    Saga,
    Sql,
    StepRefused,
    StepUnavailable,
    StepUnknown,
    Topic,
    negate,
)
from amends.connectors.sql import Transaction

hall = Sql("hall", url="sqlite:///hall.db")


class Stall(BaseModel):
    """One stall on the square, known by its place there: a name would stand in clear, where all else is sealed."""

    place: PositiveInt
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


class Forecast(BaseModel):
    """Whether it takes a tent or parasols."""

    rain: bool


class Approval(BaseModel):
    """What the fire brigade sends."""

    officer: str


class Band(BaseModel):
    """What the band answers, when it gets to it."""

    plays_until: str


class Benches(BaseModel):
    """How many are still missing; each round brings what one cart holds."""

    missing: int


def note(tx: Transaction, what: str) -> None:
    tx.execute("INSERT INTO books VALUES (?)", (what,))


def strike(tx: Transaction, what: str) -> None:
    tx.execute("DELETE FROM books WHERE what = ?", (what,))


async def stands(what: str) -> bool:
    return await hall.read(lambda tx: tx.fetch_one("SELECT 1 FROM books WHERE what = ?", (what,))) is not None


# A saga that is called for each stall of the list.

pitching = Saga("pitching", trigger=Stall)


@pitching.action(dependency=hall)
async def pitch(trigger: Stall) -> None:
    await hall.perform(lambda tx: note(tx, f"stall of {trigger.name}"))


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


# The saga itself.

festival = Saga(
    "festival",
    trigger=Topic("festivals", Festival, idempotency_key="request_id", business_key="festival"),
    subject="mayor",
    locks={"square": "square"},
    budget=Budget(attempts=200, entries=2_000),
    deadline="1h",
)


@festival.read
async def forecast(trigger: Festival) -> Forecast:
    return Forecast(rain=trigger.guests % 2 == 0)


@festival.action(dependency=hall, when=forecast.result.rain)
async def rent_tent(trigger: Festival) -> None:
    await hall.perform(lambda tx: note(tx, f"tent for {trigger.festival}"))


@rent_tent.undo
async def return_tent(trigger: Festival) -> None:
    await hall.undo(lambda tx: strike(tx, f"tent for {trigger.festival}"))


@return_tent.verify
async def tent_is_returned(trigger: Festival) -> bool:
    return not await stands(f"tent for {trigger.festival}")


@festival.action(dependency=hall, when=negate(forecast.result.rain))
async def rent_parasols(trigger: Festival) -> None:
    await hall.perform(lambda tx: note(tx, f"parasols for {trigger.festival}"))


@rent_parasols.undo(verify="reply")
async def return_parasols(trigger: Festival) -> None:
    await hall.undo(lambda tx: strike(tx, f"parasols for {trigger.festival}"))


@festival.action(dependency=hall, pending_within="30m", after=forecast)
async def hire_band(trigger: Festival) -> Band | Pending:
    """Leave the band a note. What it comes to is pending until it answers."""
    await hall.perform(lambda tx: note(tx, f"note to the band for {trigger.festival}"))
    return Pending(correlation=f"{trigger.request_id}-band")


@hire_band.undo(verify="reply")
async def cancel_band(trigger: Festival) -> None:
    await hall.undo(lambda tx: strike(tx, f"note to the band for {trigger.festival}"))


insurance = festival.call("insurance", insuring, trigger=festival.trigger, returns=insure)
stalls = festival.for_each(
    "stalls",
    pitching,
    festival.trigger.stalls,
    key="place",
    concurrency=2,
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
    carry=True,
    returns=cart,
)

approval = festival.wait(
    "approval",
    Approval,
    correlation=festival.trigger.request_id,
    timeout="30m",
    on_timeout="fail",
    after=stalls,
)
night = festival.pause("night", "100ms", after=[approval, benches])
opening = festival.wait_until("opening", festival.trigger.opens_at, after=night)


@festival.action(
    dependency=hall,
    irreversible=True,
    after=[opening, rent_tent, rent_parasols, hire_band],
)
async def invite(ctx: Context, trigger: Festival, approved: Approval = approval.result) -> None:
    ctx.checkpoint("invitations_printed", copies=trigger.guests)
    await hall.perform(lambda tx: note(tx, f"invitation to {trigger.festival}, safe by {approved.officer}"))


@invite.follow_up(verify="reply")
async def call_off(trigger: Festival) -> None:
    await hall.perform(lambda tx: note(tx, f"{trigger.festival} is called off"), independent=True)


@festival.action(dependency=hall, pivot=True, after=invite)
async def open_gates(trigger: Festival) -> None:
    """From here on the festival takes place."""

    def count(tx: Transaction) -> None:
        if trigger.guests > 500:  # noqa: PLR2004  what the square holds
            raise StepRefused("the square holds 500", kind="too_many")
        note(tx, f"{trigger.festival} is open")

    await hall.perform(count)


@festival.action(dependency=hall, after=open_gates, retry=Retry(attempts=5, wait="50ms"))
async def pay_bills(trigger: Festival) -> None:
    """Must succeed in the end."""
    if once("office-closed"):
        raise StepUnavailable("the treasurer is not in")
    await hall.perform(lambda tx: note(tx, f"bills of {trigger.festival} paid"))


@festival.expect
async def everybody_is_insured(trigger: Festival, policy: str = insurance.result) -> bool:
    """What must hold of the whole, beside what each step claims: it makes a completed run a proven one."""
    return policy.startswith("policy") and await stands(f"policy for {trigger.festival}")


@festival.result
def report(trigger: Festival, policy: str = insurance.result, left: Benches = benches.result) -> str:
    return f"{trigger.festival} under {policy}, {len(trigger.stalls)} stalls, {left.missing} benches missing"


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
