"""A saga whose participant is another process, reached over the bus: it books, then bills, which may be refused."""

import os

from pydantic import BaseModel

from amends import Context, Participant, Pending, Saga, StepRefused, Topic

PREFIX = os.environ.get("SHOP_PREFIX", "")
PENDING = os.environ.get("PENDING_WITHIN", "60s")

COMMANDS = os.environ.get("COMMANDS", f"{PREFIX}shipping.commands")

shipping = Participant("shipping", commands=COMMANDS, replies=f"{PREFIX}shipping.replies")


class Order(BaseModel):
    id: str
    order: str
    bill: bool = True


class Booking(BaseModel):
    slot: str


orders = Saga(
    "orders", trigger=Topic(f"{PREFIX}orders", Order, idempotency_key="id", business_key="order"), deadline="30m"
)


@orders.action(dependency=shipping, pending_within=PENDING)
async def book(ctx: Context, trigger: Order) -> Booking | Pending:
    return await shipping.send(ctx, "book", {"order": trigger.order})


@book.undo(verify="reply", pending_within=PENDING)
async def cancel(ctx: Context, trigger: Order) -> Pending:
    return await shipping.send(ctx, "cancel", {"order": trigger.order})


@orders.action(idempotent=True)
def bill(trigger: Order, booking: Booking = book.result) -> str:
    if not trigger.bill:
        raise StepRefused("no credit")
    return booking.slot


@bill.undo(verify="reply")
def unbill() -> None: ...
