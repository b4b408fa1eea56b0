"""Sells pottery: take it off the shelf, charge the card, send the mail. Three connectors, three ways to be sure."""

from pydantic import BaseModel, PositiveInt

from amends import Context, Http, Saga, Smtp, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction

shelf = Sql("shelf", url="sqlite:///shelf.db")  # The step, its key and its result are one transaction.
payments = Http(
    "payments",
    base_url="${env:PAYMENTS_URL}",
    idempotency_header="Idempotency-Key",  # It knows each request by its key …
    tombstones=True,  # … and refuses a charge that comes after its refund.
    external_id="payment_id",
)
mail = Smtp(
    "mail",
    host="${env:MAIL_HOST}",
    port="${env:MAIL_PORT}",
    sender="Pottery <shop@pottery.example>",
    security="none",  # on this machine
    idempotent=True,  # It keeps a Message-ID once, however often it comes.
)


class Order(BaseModel):
    """What is published for each order."""

    request_id: str
    order_id: str
    email: str
    card: str
    sku: str
    quantity: PositiveInt
    total: str


class Payment(BaseModel):
    """What the card processor says of a charge."""

    payment_id: str
    amount: str
    refunded: str


pottery = Saga("pottery", trigger=Topic("orders", Order, idempotency_key="request_id", business_key="order_id"))


@pottery.action(dependency=shelf)
async def take(trigger: Order) -> None:
    def off_the_shelf(tx: Transaction) -> None:
        enough = "UPDATE stock SET on_hand = on_hand - :quantity WHERE sku = :sku AND on_hand >= :quantity"
        if not tx.execute(enough, trigger.model_dump()):
            raise StepRefused(f"fewer than {trigger.quantity} of {trigger.sku}", kind="sold_out")

    await shelf.perform(off_the_shelf)


@take.undo(verify="reply")
async def put_back(trigger: Order) -> None:
    def onto_the_shelf(tx: Transaction) -> None:
        tx.execute("UPDATE stock SET on_hand = on_hand + :quantity WHERE sku = :sku", trigger.model_dump())

    await shelf.undo(onto_the_shelf)


@pottery.action(dependency=payments, after=take)
async def charge(trigger: Order) -> Payment:
    body = {"order_id": trigger.order_id, "card": trigger.card, "amount": trigger.total, "currency": "EUR"}
    return await payments.post("/payments", json=body, returns=Payment)


@charge.undo
async def refund(ctx: Context) -> None:
    """Give the money back: by the charge's key, so this works even where the charge's answer was lost."""
    await payments.post("/refunds", json={"payment_key": charged_as(ctx)})


@refund.verify
async def is_refunded(ctx: Context) -> bool:
    found = await payments.get("/payments", params={"key": charged_as(ctx)}, returns=Payment, missing=None)
    return found is None or found.refunded == found.amount


@pottery.action(dependency=mail, irreversible=True)
async def confirm(trigger: Order, payment: Payment = charge.result) -> None:
    text = f"Thank you. We have charged {payment.amount} EUR and are wrapping {trigger.sku}."
    await mail.send(to=trigger.email, subject=f"Your order {trigger.order_id}", text=text)


def charged_as(ctx: Context) -> str:
    """The key under which the step acted that is being undone."""
    assert ctx.undoing is not None, "only an undo has something to undo"
    return ctx.undoing.idempotency_key
