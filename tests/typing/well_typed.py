"""A saga as users write it: mypy strict and pyright strict find nothing wrong with it."""

from typing import assert_type

from pydantic import BaseModel

from amends import Budget, Context, Pending, Retry, Saga, Topic, negate, one_of


class RefundRequested(BaseModel):
    request_id: str
    order_id: str
    amount: int


class Assessment(BaseModel):
    verdict: str
    score: float


class Reversal(BaseModel):
    id: str
    amount: int


class Refunded(BaseModel):
    reversal: str | None


refund = Saga(
    "refund",
    version=3,
    trigger=Topic("billing.refund-requested", RefundRequested, idempotency_key="request_id", business_key="order_id"),
    budget=Budget(usd="2.00", wall_time="10m"),
    deadline="30m",
)
assert_type(refund, Saga[RefundRequested])
assert_type(refund.trigger, RefundRequested)


@refund.read
def assess(trigger: RefundRequested) -> Assessment:
    return Assessment(verdict="refund", score=0.9)


@refund.action(
    retry=Retry(attempts=4),
    idempotent="24h",
    when=(assess.result.verdict == "refund") & negate(refund.trigger.amount > 100) | (assess.result.score >= 0.5),
)
async def reverse_charge(ctx: Context, trigger: RefundRequested) -> Reversal:
    return Reversal(id=ctx.idempotency_key, amount=trigger.amount)


@reverse_charge.verify
async def is_reversed(ctx: Context, reversal: Reversal = reverse_charge.result) -> bool:
    return bool(reversal.id)


@reverse_charge.lookup
async def find(ctx: Context) -> Reversal | None:
    return None


@reverse_charge.undo(retry=Retry(attempts=9))
async def recharge(ctx: Context, reversal: Reversal | None = reverse_charge.maybe) -> None: ...


@recharge.verify(timeout="5s", verify_within="20s")
def is_recharged(trigger: RefundRequested) -> bool:
    return True


@refund.action(irreversible=True, after=[assess, "reverse_charge"], unsafe="a mail that comes twice is harmless")
def notify(ctx: Context, reversal_id: str | None = reverse_charge.result.id) -> None: ...


@notify.lookup
def was_notified(ctx: Context) -> bool:
    return False


@notify.follow_up(verify="reply")
async def apologize(ctx: Context) -> None: ...


@refund.read(when=one_of(assess.result.verdict, "refund", "exchange") & negate(one_of(refund.trigger.amount, 0, 1)))
def explained(trigger: RefundRequested) -> bool:
    return True


@refund.result
def outcome(reversal: Reversal | None = reverse_charge.maybe) -> Refunded:
    return Refunded(reversal=reversal.id if reversal else None)


assert_type(assess.result, Assessment)
assert_type(assess.maybe, Assessment | None)
assert_type(reverse_charge.result, Reversal)
assert_type(notify.result, None)


settlement = Saga("settlement", trigger=Topic("settlements", RefundRequested, idempotency_key="request_id"))
paid_back = settlement.call("pay", refund, trigger=settlement.trigger, returns=outcome)
checked = settlement.call("check", refund, trigger=settlement.trigger, returns=assess, after=paid_back)


@settlement.read(after=[checked, "pay"], when=checked.result.score > 1)
def closing(refunded: Refunded = paid_back.result, assessment: Assessment | None = checked.maybe) -> str:
    return f"{refunded.reversal} {assessment}"


class Batch(BaseModel):
    request_id: str
    refunds: list[RefundRequested]


batches = Saga("batches", trigger=Topic("batches", Batch, idempotency_key="request_id"))
refunded = batches.for_each("all", refund, batches.trigger.refunds, key="request_id", returns=outcome)
some = batches.for_each("some", refund, batches.trigger.refunds, key="request_id", returns=assess, policy="collect")
again = settlement.loop(
    "again", refund, trigger=settlement.trigger, until=assess.result.score > 1, max=3, every="1s", returns=outcome
)
assert_type(refunded.result, list[Refunded])
assert_type(some.result, list[Assessment | None])
assert_type(again.result, Refunded)
assert_type(paid_back.result, Refunded)
assert_type(checked.maybe, Assessment | None)


arrived = settlement.wait(
    "arrived", Assessment, correlation=settlement.trigger.request_id, timeout="2h", on_timeout="park", after=checked
)
later = settlement.wait_until("later", settlement.trigger.order_id, after=[arrived], when=arrived.result.score > 1)
cool = settlement.pause("cool", "1h", after=later)


@settlement.read(after=cool)
def counted(assessment: Assessment = arrived.result) -> float:
    return assessment.score


assert_type(arrived.result, Assessment)
assert_type(arrived.maybe, Assessment | None)
assert_type(cool.result, None)


async def call_with_values(ctx: Context, trigger: RefundRequested) -> None:
    reversal = await reverse_charge(ctx, trigger)
    assert_type(reversal, Reversal)
    assert_type(await is_reversed(ctx, reversal), bool)
    assert_type(assess(trigger), Assessment)
    assert_type(outcome(None), Refunded)
    await recharge(ctx, reversal=None)


booking = Saga("booking", trigger=Topic("orders", RefundRequested, idempotency_key="request_id"))


@booking.action(pending_within="2h")
async def book(ctx: Context, trigger: RefundRequested) -> Reversal | Pending:
    return Pending(correlation=ctx.idempotency_key, timeout="10m", external_id=trigger.order_id)


assert_type(book.result, Reversal)
assert_type(book.maybe, Reversal | None)


@book.lookup
async def find_booking(ctx: Context) -> Reversal | None:
    return None


@book.undo(verify="reply", pending_within="2h")
async def cancel_booking(ctx: Context, booked: Reversal | None = book.maybe) -> Pending | None:
    return Pending(correlation=ctx.idempotency_key) if booked is not None else None


@booking.action
def bill(booked: Reversal = book.result) -> Reversal | Pending:
    return booked


assert_type(bill.result, Reversal)


@booking.expect
def is_billed(ctx: Context, billed: Reversal = bill.result) -> bool:
    return True


@booking.expect(name="is_booked", timeout="5s")
async def booked(booked: Reversal = book.result) -> bool:
    return True
