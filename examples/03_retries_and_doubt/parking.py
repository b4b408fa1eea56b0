"""Charges parking fees to cards: once each, whatever becomes of the answers."""

from pydantic import BaseModel

from amends import Context, Http, Retry, Saga, Topic


class Fee(BaseModel):
    """What is owed by whom."""

    ticket: str
    plate: str
    card: str
    amount: str


class Payment(BaseModel):
    """What the card processor says of a charge."""

    payment_id: str
    amount: str


payments = Http(
    "payments",
    base_url="${env:PAYMENTS_URL}",
    idempotency_header="Idempotency-Key",  # It promises: the same key never charges twice.
    external_id="payment_id",
    settle_s=1,
    retries=0,  # Leave all tries to the saga, where they are in the log.
)

parking = Saga("parking", trigger=Topic("fees", Fee, idempotency_key="ticket", business_key="plate"))


@parking.action(dependency=payments, retry=Retry(attempts=3, wait="300ms"), pivot=True)
async def charge(trigger: Fee) -> Payment:
    """Charge the card. A refusal is final, a server that is away is asked again, a lost answer is in doubt."""
    body = {"order_id": trigger.ticket, "card": trigger.card, "amount": trigger.amount, "currency": "EUR"}
    return await payments.post("/payments", json=body, returns=Payment)


@charge.lookup
async def find_charge(ctx: Context) -> Payment | None:
    """In doubt: did it happen? Asked by the key of the request whose answer was lost."""
    return await payments.get("/payments", params={"key": ctx.idempotency_key}, returns=Payment, missing=None)
