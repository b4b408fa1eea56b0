"""A saga that is proven later, and of which something is expected. Files in `BOOKS` say what is done and what goes.

`hold`: read-backs and undos of a charge wait. `closed`: a charge cannot be undone. `truck`: orders can be shipped.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic

BOOKS = Path(os.environ["BOOKS"])


class Order(BaseModel):
    id: str
    order: str
    paid: bool = True
    parcel: bool = True


orders = Saga(
    "orders",
    trigger=Topic(os.environ["ORDERS_TOPIC"], Order, idempotency_key="id", business_key="order"),
    deadline="1d",
)


def write(what: str, order: Order, key: str) -> None:
    """Once under each key."""
    with suppress(FileExistsError):
        (BOOKS / f"{what} {order.order} {key}").touch(exist_ok=False)


def held(what: str) -> None:
    """Say that it has begun, and stand still for as long as the test wants it."""
    (BOOKS / what).touch()
    while (BOOKS / "hold").exists():
        time.sleep(0.02)


@orders.action(idempotent=True)
def reserve(ctx: Context, trigger: Order) -> str:
    write("reserve", trigger, ctx.idempotency_key)
    return trigger.order


@reserve.undo(verify="reply")
def release(ctx: Context, trigger: Order) -> None:
    write("release", trigger, ctx.idempotency_key)


@orders.action(idempotent=True)
def charge(ctx: Context, trigger: Order, reserved: str = reserve.result) -> str:
    write("charge", trigger, ctx.idempotency_key)
    return reserved


@charge.verify(verify_after="1s")
def is_charged(trigger: Order) -> bool:
    held(f"asked about {trigger.order}")
    return any(BOOKS.glob(f"charge {trigger.order} *"))


@charge.undo(verify="reply")
def refund(ctx: Context, trigger: Order) -> None:
    if (BOOKS / "closed").exists():
        raise StepRefused("the account is closed")
    held(f"refunding {trigger.order}")
    write("refund", trigger, ctx.idempotency_key)


@orders.action(irreversible=True, idempotent=True)
def ship(ctx: Context, trigger: Order, charged: str = charge.result) -> str:
    if trigger.parcel and not (BOOKS / "truck").exists():
        raise StepRefused("no truck")
    write("ship", trigger, ctx.idempotency_key)
    return charged


@orders.expect
def is_paid(trigger: Order) -> bool:
    return trigger.paid
