"""The saga most tests of definitions speak about."""

from decimal import Decimal

from pydantic import BaseModel, Field

from amends import Context, Saga, Topic
from amends.coordinator.definition.form import Certainty


class Line(BaseModel):
    sku: str
    count: int = 1


class Order(BaseModel):
    request_id: str
    order_id: str
    currency: str = "EUR"
    amount: Decimal = Decimal("1.00")
    lines: list[Line] = []


class Charge(BaseModel):
    id: str
    taken: Decimal = Field(alias="takenAmount")
    line: Line = Line(sku="none")


class Payments:
    """A participant as a connector declares one."""

    name = "payments"
    certainty = Certainty(deduplicates=True, window_ms=86_400_000, settle_ms=30_000)


def orders() -> Topic[Order]:
    return Topic("orders", Order, idempotency_key="request_id", business_key="order_id")


def shop() -> Saga[Order]:
    """A saga with a read, an action with everything, a pivot and a result."""
    saga = Saga("shop", version=2, trigger=orders())

    @saga.read
    def assess(trigger: Order) -> str:
        return "good"

    @saga.action(dependency=Payments(), when=assess.result == "good")
    async def charge(ctx: Context, trigger: Order) -> Charge:
        return Charge(id=ctx.idempotency_key, takenAmount=trigger.amount)

    @charge.verify
    async def is_charged(charge_id: str = charge.result.id) -> bool:
        return True

    @charge.lookup
    async def find(ctx: Context) -> Charge | None:
        return None

    @charge.undo(verify_within="1m")
    async def refund(ctx: Context, charged: Charge | None = charge.maybe) -> None: ...

    @refund.verify
    def is_refunded(ctx: Context) -> bool:
        return True

    @saga.action(irreversible=True, after=charge, unsafe="a second mail does no harm")
    def mail(ctx: Context, order_id: str = saga.trigger.order_id) -> None: ...

    @saga.result
    def receipt(charged: Charge | None = charge.maybe) -> str:
        return charged.id if charged else "nothing"

    return saga
