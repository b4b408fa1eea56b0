"""A saga that leaks its secret wherever it can: in a result, an error, its kind, and what it logs."""

import logging

from pydantic import BaseModel

from amends import Saga, StepRefused, Topic
from amends.connectors.secrets import template

TOKEN = template("${env:PARTICIPANT_TOKEN}", what="the token")


class Order(BaseModel):
    """A trigger; `note` may hold anything."""

    id: str
    note: str = ""


class Kept(BaseModel):
    """A result with what it must not hold."""

    header: str
    note: str


order = Saga("order", version=1, trigger=Topic("orders", Order, idempotency_key="id"))


@order.action(idempotent=True)
def keep(trigger: Order) -> Kept:
    token = TOKEN.resolve(secret=True)
    logging.getLogger("amends.leak").warning("leaked %s", token, extra={"token": token})
    return Kept(header=f"Bearer {token}", note=trigger.note)


@keep.undo(verify="reply")
def forget() -> None:
    """Nothing was done."""


@order.action(idempotent=True, after=keep)
def fail(trigger: Order) -> None:
    token = TOKEN.resolve(secret=True)
    raise StepRefused(f"401 for {token}", kind=f"token {token}")


@fail.undo(verify="reply")
def unfail() -> None:
    """Nothing was done."""
