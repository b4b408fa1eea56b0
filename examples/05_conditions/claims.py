"""Settles insurance claims: small ones at once, others when an expert has looked."""

import sqlite3

from pydantic import BaseModel, PositiveInt

from amends import Saga, Sql, Topic, negate
from amends.connectors.sql import Transaction


class Claim(BaseModel):
    """What a customer reports."""

    claim_id: str
    customer: str
    kind: str
    amount: PositiveInt


class Opinion(BaseModel):
    """What the expert has found."""

    accepted: bool
    amount: int


insurer = Sql("insurer", url="sqlite:///insurer.db")

claims = Saga("claim", trigger=Topic("claims", Claim, idempotency_key="claim_id", business_key="customer"))

SMALL = claims.trigger.amount <= 300  # noqa: PLR2004  a condition is data: it stands in the graph, and replays the same
SUSPECT = (claims.trigger.kind == "glass") | (claims.trigger.kind == "theft")


@claims.read(when=negate(SMALL) | SUSPECT)
def inspect(trigger: Claim) -> Opinion:
    """Let an expert look: at large damages, and always at glass and theft."""
    return Opinion(accepted=trigger.kind != "wear", amount=min(trigger.amount, 5_000))


@claims.action(dependency=insurer, when=SMALL & negate(SUSPECT), pivot=True)
async def pay_at_once(trigger: Claim) -> None:
    await insurer.perform(lambda tx: pay(tx, trigger.customer, trigger.amount))


@claims.action(dependency=insurer, when=inspect.result.accepted, after=pay_at_once)
async def pay_as_inspected(trigger: Claim, opinion: Opinion = inspect.result) -> None:
    """Needs the expert's result, so it is skipped where nobody has looked."""
    await insurer.perform(lambda tx: pay(tx, trigger.customer, opinion.amount))


@claims.result
def letter(trigger: Claim, opinion: Opinion | None = inspect.maybe) -> str:
    """Take `.maybe` where a step may have been skipped."""
    if opinion is None:
        return f"{trigger.amount} paid at once"
    return f"{opinion.amount} paid after inspection" if opinion.accepted else "not covered"


def pay(tx: Transaction, customer: str, amount: int) -> None:
    tx.execute("INSERT INTO payments VALUES (?, ?)", (customer, amount))


if __name__ == "__main__":  # The insurer's own books, made the first time and shown each time.
    with sqlite3.connect("insurer.db") as books:
        books.execute("CREATE TABLE IF NOT EXISTS payments (customer TEXT, amount INTEGER)")
        for customer, amount in books.execute("SELECT customer, amount FROM payments ORDER BY customer"):
            print(f"{customer}: {amount}")
