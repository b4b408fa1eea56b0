"""The shop's saga: reserve the goods, charge the card, mail the customer; or leave the world as it was.

Three participants, three ways to be sure. The stock is a database: a step and its undo are transactions of its own. The
card processor knows each request by its key. A mail cannot be called back: what can be done is to send another.
"""

import os
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PositiveInt, StringConstraints

from amends import Context, Http, Retry, Saga, Smtp, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction

stock = Sql("stock", url="${env:SHOP_INVENTORY_URL}")

payments = Http(
    "payments",
    base_url="${env:SHOP_PAYMENTS_URL}",
    idempotency_header="Idempotency-Key",
    external_id="payment_id",
    tombstones=True,  # A refund that comes first makes it refuse the late charge.
    settle_s=3,
    retries=0,  # The saga's own retries are in the log and survive a crash.
)

mail = Smtp(
    "mail",
    host="${env:SHOP_MAIL_HOST}",
    port="${env:SHOP_MAIL_PORT}",
    sender="The Shop <orders@shop.example>",
    security="none",  # on this machine
    idempotent=True,  # It keeps a Message-ID once, however often it comes.
    settle_s=3,
)

mailbox = Http("mailbox", base_url="${env:SHOP_MAILBOX_URL}")

Amount = Annotated[str, StringConstraints(pattern=r"^\d+\.\d\d$")]


class Customer(BaseModel):
    """Who ordered, and where the mail goes."""

    name: str
    email: str


class Line(BaseModel):
    """One kind of goods in an order."""

    sku: str
    quantity: PositiveInt


class Order(BaseModel):
    """What is published for each order; the rest of the record does not matter here."""

    order_id: str
    request_id: str
    customer: Customer
    card: str
    currency: Literal["EUR"]
    total: Amount
    lines: list[Line] = Field(min_length=1)


class Payment(BaseModel):
    """What the card processor says of a charge."""

    payment_id: str
    amount: Amount
    refunded: Amount


class Found(BaseModel):
    """What the mail server has under a Message-ID."""

    messages: list[dict[str, str | int]]


class Receipt(BaseModel):
    """What the outcome of a completed order carries."""

    order_id: str
    payment_id: str
    paid: str


order = Saga(
    "order",
    version=1,
    trigger=Topic(
        os.environ.get("SHOP_ORDERS_TOPIC", "shop.orders"),
        Order,
        idempotency_key="request_id",
        business_key="order_id",
    ),
    deadline="10m",
)


@order.action(dependency=stock)
async def reserve(trigger: Order) -> None:
    """Take the goods out of the stock: all lines, or none."""

    def take(tx: Transaction) -> None:
        for line in trigger.lines:
            goods = {"reservation": tx.key, "order": trigger.order_id, "sku": line.sku, "quantity": line.quantity}
            taken = tx.execute(
                "UPDATE stock SET on_hand = on_hand - :quantity WHERE sku = :sku AND on_hand >= :quantity", goods
            )
            if not taken:
                raise StepRefused(f"fewer than {line.quantity} of {line.sku} in stock", kind="sold_out")
            tx.execute(
                "INSERT INTO reservations (reservation_id, order_id, sku, quantity)"
                " VALUES (:reservation, :order, :sku, :quantity)",
                goods,
            )

    await stock.perform(take)


@reserve.undo
async def release(ctx: Context) -> None:
    """Put the goods back. If the reservation never came, its key is buried: it cannot come late."""

    def give_back(tx: Transaction) -> None:
        reserved = {"reservation": undone_key(ctx)}
        lines = tx.fetch_all("SELECT sku, quantity FROM reservations WHERE reservation_id = :reservation", reserved)
        for line in lines:
            tx.execute("UPDATE stock SET on_hand = on_hand + :quantity WHERE sku = :sku", line)
        tx.execute("UPDATE reservations SET state = 'released' WHERE reservation_id = :reservation", reserved)

    await stock.undo(give_back)


@release.verify
async def is_released(ctx: Context) -> bool:
    held = "SELECT 1 FROM reservations WHERE reservation_id = :reservation AND state = 'held'"
    return await stock.read(lambda tx: tx.fetch_one(held, {"reservation": undone_key(ctx)})) is None


@order.action(dependency=payments, after=reserve, timeout="1s", retry=Retry(attempts=5))
async def charge(trigger: Order) -> Payment:
    """Charge the card: once, however often it has to be asked."""
    body = {"order_id": trigger.order_id, "card": trigger.card, "amount": trigger.total, "currency": trigger.currency}
    return await payments.post("/payments", json=body, returns=Payment)


@charge.lookup
async def find_charge(ctx: Context) -> Payment | None:
    """In doubt: did it happen? Asked by the key of the request whose answer was lost."""
    return await payments.get("/payments", params={"key": ctx.idempotency_key}, returns=Payment, missing=None)


@charge.verify
async def is_charged(trigger: Order, payment: Payment = charge.result) -> bool:
    charged = await payments.get(f"/payments/{payment.payment_id}", returns=Payment)
    return charged.amount == trigger.total


@charge.undo(timeout="1s", retry=Retry(attempts=3))
async def refund(ctx: Context) -> None:
    """Give the money back. The charge's key says which, so this works even where the charge's answer was lost."""
    await payments.post("/refunds", json={"payment_key": undone_key(ctx)})


@refund.verify
async def is_refunded(ctx: Context) -> bool:
    charged = await payments.get("/payments", params={"key": undone_key(ctx)}, returns=Payment, missing=None)
    return charged is None or charged.refunded == charged.amount


@order.action(dependency=mail, after=charge, irreversible=True, timeout="5s")
async def notify(trigger: Order) -> None:
    """Tell the customer."""
    await mail.send(
        to=trigger.customer.email,
        subject=f"Your order {trigger.order_id} is confirmed",
        text=CONFIRMED.format(order=trigger),
    )


@notify.lookup
async def is_told() -> bool:
    """In doubt: does the mail server have it? The effect's key is in the Message-ID."""
    return await has_message(mail.message_id())


@notify.follow_up
async def correct(trigger: Order) -> None:
    """Take it back in words, if what comes after it fails."""
    await mail.send(
        to=trigger.customer.email,
        subject=f"Your order {trigger.order_id} is cancelled",
        text=CANCELLED.format(order=trigger),
    )


@correct.verify
async def is_corrected() -> bool:
    return await has_message(mail.message_id())


@order.result
def receipt(trigger: Order, payment: Payment = charge.result) -> Receipt:
    """Say in the outcome what came of the order."""
    paid = f"{payment.amount} {trigger.currency}"
    return Receipt(order_id=trigger.order_id, payment_id=payment.payment_id, paid=paid)


def undone_key(ctx: Context) -> str:
    """The key under which an undo's step acted."""
    assert ctx.undoing is not None, "only an undo has something to undo"
    return ctx.undoing.idempotency_key


async def has_message(message_id: str) -> bool:
    return await mailbox.get("/messages", params={"id": message_id}, returns=Found, missing=None) is not None


CONFIRMED = """\
Dear {order.customer.name},

thank you for your order {order.order_id}. We have charged {order.total} {order.currency} to your card.

The Shop
"""

CANCELLED = """\
Dear {order.customer.name},

we could not carry out your order {order.order_id}, and are sorry that we told you otherwise. You get your
{order.total} {order.currency} back.

The Shop
"""
