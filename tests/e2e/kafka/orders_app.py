"""A saga with triggers of every encoding: its outcome gives back what it understood of the trigger."""

import os
from decimal import Decimal

from pydantic import BaseModel

from amends import Retry, Saga, StepRefused, StepUnavailable, Topic


class Line(BaseModel):
    """So many of an article."""

    sku: str
    count: int


class Order(BaseModel):
    """A trigger; `refuse` names what is refused: `charge`, or `unreserve`, the undo of its first step, as well."""

    request_id: str | None = None
    order_id: str
    amount: Decimal
    lines: list[Line]
    note: str | None = None
    refuse: str | None = None


class Reserved(BaseModel):
    """How many articles are held."""

    articles: int


class Confirmed(BaseModel):
    """What the saga made of the order."""

    order_id: str
    amount: Decimal
    articles: int
    note: str | None


orders = Saga(
    "orders",
    version=1,
    trigger=Topic(
        os.environ["ORDERS_TOPIC"],
        Order,
        idempotency_key="request_id",
        business_key="order_id",
        schemas="order.avsc",
    ),
)

notices = Saga(
    "notices",
    version=1,
    trigger=Topic(os.environ["NOTICES_TOPIC"], Order, business_key="order_id", cloudevents_type="shop.order-placed"),
)
"""Its key is the event's `source` and `id`, or the header."""


@orders.action(idempotent=True)
def reserve(trigger: Order) -> Reserved:
    return Reserved(articles=sum(line.count for line in trigger.lines))


@reserve.undo(verify="reply", retry=Retry(attempts=2, wait="10ms"))
def unreserve(trigger: Order, _reserved: Reserved | None = reserve.maybe) -> None:
    if trigger.refuse == "unreserve":
        raise StepUnavailable("the warehouse is closed")


@orders.action(idempotent=True)
def charge(trigger: Order, reserved: Reserved = reserve.result) -> Confirmed:
    if trigger.refuse:
        raise StepRefused("the card was declined")
    return Confirmed(order_id=trigger.order_id, amount=trigger.amount, articles=reserved.articles, note=trigger.note)


@charge.undo(verify="reply")
def refund(_charged: Confirmed | None = charge.maybe) -> None:
    """Give back what was taken."""


@notices.read
def understand(trigger: Order) -> Confirmed:
    articles = sum(line.count for line in trigger.lines)
    return Confirmed(order_id=trigger.order_id, amount=trigger.amount, articles=articles, note=trigger.note)
