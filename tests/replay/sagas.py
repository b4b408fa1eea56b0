"""The sagas whose runs are recorded."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from amends import Budget, Context, Pending, Retry, Saga, Topic


class Order(BaseModel):
    """The trigger."""

    id: str
    order: str
    gift: bool = False


class Done(BaseModel):
    """What a step returns."""

    id: str
    note: str = ""


def order_saga(  # noqa: C901  a list, no branches
    *, deadline: str = "1h", budget: Budget | None = None, locks: Mapping[str, str] | None = None
) -> Saga[Order]:
    """Every kind of step: a read, two parallel actions that promise different things, a pivot, one behind it."""
    saga = Saga(
        "order",
        version=1,
        trigger=Topic("orders", Order, idempotency_key="id", business_key="order"),
        deadline=deadline,
        budget=budget,
        locks=locks,
    )

    @saga.read
    def assess(ctx: Context, trigger: Order) -> Done:
        return Done(id="assessed")

    @saga.action(idempotent=True, retry=Retry(attempts=3))
    def reserve(ctx: Context, trigger: Order, assessed: Done = assess.result) -> Done:
        return Done(id="res_1")

    @reserve.undo(verify="reply", retry=Retry(attempts=2))
    def unreserve(ctx: Context, reserved: Done | None = reserve.maybe) -> None: ...

    @saga.action(settle_s=5)
    def charge(ctx: Context, trigger: Order, assessed: Done = assess.result) -> Done:
        return Done(id="ch_1")

    @charge.lookup
    def find_charge(ctx: Context) -> Done | None:
        return None

    @charge.verify(verify_within="2s")
    def is_charged(ctx: Context, charged: Done = charge.result) -> bool:
        return True

    @charge.undo
    def give_back(ctx: Context, charged: Done | None = charge.maybe) -> None: ...

    @give_back.verify(verify_within="2s")
    def is_given_back(ctx: Context, trigger: Order) -> bool:
        return True

    @saga.action(after=[reserve, charge], idempotent=True, when=saga.trigger.gift == True)  # noqa: E712  an expression
    def wrap(ctx: Context, trigger: Order) -> Done:
        return Done(id="wrapped")

    @wrap.undo(verify="reply")
    def unwrap(ctx: Context, wrapped: Done | None = wrap.maybe) -> None: ...

    @saga.action(after=wrap, irreversible=True, idempotent=True)
    def ship(ctx: Context, trigger: Order) -> Done:
        return Done(id="parcel_1")

    @saga.action(idempotent=True, retry=Retry(attempts=2))
    def notify(ctx: Context, parcel: Done = ship.result) -> Done:
        return Done(id="mail_1")

    @saga.result
    def outcome(parcel: Done = ship.result, mail: Done = notify.result) -> Done:
        return parcel

    return saga


def expecting_saga() -> Saga[Order]:
    """One step that is undone, and what is to hold when it is done."""
    saga = Saga("expecting", trigger=Topic("orders", Order, idempotency_key="id", business_key="order"))

    @saga.action(idempotent=True)
    def charge(ctx: Context, trigger: Order) -> Done:
        return Done(id="ch_1")

    @charge.undo(verify="reply")
    def give_back(ctx: Context, charged: Done | None = charge.maybe) -> None: ...

    @saga.expect(retry=Retry(attempts=2))
    def is_paid(ctx: Context, charged: Done = charge.result) -> bool:
        return True

    @saga.expect
    def is_booked(ctx: Context, charged: Done = charge.result) -> bool:
        return True

    return saga


def read_back_saga() -> Saga[Order]:
    """One step and its undo, each read back two hours after it was done."""
    saga = Saga("read_back", trigger=Topic("orders", Order, idempotency_key="id", business_key="order"))

    @saga.action(idempotent=True)
    def charge(ctx: Context, trigger: Order) -> Done:
        return Done(id="ch_1")

    @charge.verify(verify_after="2h", verify_within="2s")
    def is_charged(ctx: Context, charged: Done = charge.result) -> bool:
        return True

    @charge.undo
    def give_back(ctx: Context, charged: Done | None = charge.maybe) -> None: ...

    @give_back.verify(verify_after="2h", verify_within="2s")
    def is_given_back(ctx: Context, trigger: Order) -> bool:
        return True

    @saga.read
    def assess(ctx: Context, charged: Done = charge.result) -> Done:
        return Done(id="assessed")

    return saga


def long_saga() -> Saga[Order]:
    """Sixty steps in a row."""
    saga = Saga("long", version=3, trigger=Topic("orders", Order, idempotency_key="id"))
    for n in range(60):

        def act(ctx: Context, trigger: Order) -> Done:
            return Done(id="done")

        def undo(ctx: Context) -> None: ...

        act.__name__, undo.__name__ = f"step{n}", f"undo{n}"
        step = saga.action(idempotent=True, after=[f"step{n - 1}"] if n else [])(act)
        step.undo(verify="reply")(undo)
    return saga


def waiting_saga() -> Saga[Order]:
    """Waits for a message and for a while, each behind something that is undone."""
    saga = Saga("waiting", trigger=Topic("orders", Order, idempotency_key="id", business_key="order"), deadline="1d")

    @saga.action(idempotent=True)
    def reserve(ctx: Context, trigger: Order) -> Done:
        return Done(id="res_1")

    @reserve.undo(verify="reply")
    def unreserve(ctx: Context, reserved: Done | None = reserve.maybe) -> None: ...

    paid = saga.wait("paid", Done, correlation=saga.trigger.order, timeout="2h", type="payment", after=reserve)
    cool = saga.pause("cool_off", "10m", after=paid)

    @saga.read(after=cool)
    def look(ctx: Context, payment: Done = paid.result) -> Done:
        return payment

    return saga


def pending_saga(*, one_key: bool = False) -> Saga[Order]:
    """Books where the answer comes later, as it does for the undo; what comes after it may fail.

    With `one_key` answers to both have the same key, which cannot be told apart.
    """
    saga = Saga("pending", trigger=Topic("orders", Order, idempotency_key="id", business_key="order"), deadline="1d")

    @saga.action(tombstones=True, pending_within="2h")
    def book(ctx: Context, trigger: Order) -> Done | Pending:
        return Pending(correlation="book-1" if one_key else f"book-{ctx.attempt}", external_id="taken_1")

    @book.undo(verify="reply", pending_within="1h")
    def cancel(ctx: Context, booked: Done | None = book.maybe) -> Pending:
        return Pending(correlation="book-1" if one_key else f"cancel-{ctx.attempt}")

    @saga.action(after=book, idempotent=True)
    def bill(ctx: Context, booked: Done = book.result) -> Done:
        return booked

    @bill.undo(verify="reply")
    def unbill(ctx: Context) -> None: ...

    return saga


class Parcels(BaseModel):
    """A trigger with a list."""

    id: str
    order: str
    gift: bool = False
    parcels: list[Done] = [Done(id="box"), Done(id="tube"), Done(id="crate")]


def repeating_saga(*, policy: Literal["all", "collect"] = "all") -> Saga[Parcels]:
    """Books a parcel for each item, asks in rounds whether they were fetched, then ends what can no more be undone."""
    one = Saga("parcel", trigger=Done)

    @one.action(idempotent=True)
    def book(ctx: Context, trigger: Done) -> Done:
        return Done(id="booked")

    @book.undo(verify="reply")
    def give_up(ctx: Context, booked: Done | None = book.maybe) -> None: ...

    asking = Saga("asking", trigger=Done)

    @asking.read
    def ask(ctx: Context, trigger: Done) -> Done:
        return Done(id="asked")

    topic = Topic("orders", Parcels, idempotency_key="id", business_key="order")
    saga = Saga("repeating", trigger=topic, deadline="1d")

    @saga.read
    def look(ctx: Context, trigger: Parcels) -> Done:
        return Done(id="looked")

    booked = saga.for_each(
        "parcels", one, saga.trigger.parcels, key="id", concurrency=2, policy=policy, returns=book, after=look
    )
    fetched = saga.loop(
        "fetched",
        asking,
        trigger=look.result,
        until=ask.result.note == "fetched",
        max=3,
        every="10m",
        returns=ask,
        after=booked,
    )

    @saga.action(idempotent=True, irreversible=True)
    def bill(ctx: Context, parcels: Sequence[Done | None] = booked.result, last: Done = fetched.result) -> Done:
        return last

    return saga
