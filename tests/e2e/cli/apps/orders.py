"""Orders under a lock: charged, then shipped; without a truck it is undone, as far as the ledger is open."""

from pathlib import Path

from pydantic import BaseModel

from amends import Context, Retry, Saga, StepRefused, Topic


class Order(BaseModel):
    request_id: str
    order_id: str


orders = Saga(
    "orders",
    trigger=Topic("orders", Order, idempotency_key="request_id", business_key="order_id"),
    locks={"order": "order_id"},
)


@orders.action(idempotent=True)
def charge(ctx: Context, trigger: Order) -> None: ...


@charge.undo(verify="reply", retry=Retry(attempts=1))
def give_back(ctx: Context) -> None:
    if not Path("ledger-is-open").exists():
        raise StepRefused("the ledger is closed")


@orders.action(idempotent=True, after=charge)
def ship(ctx: Context) -> None:
    if not Path("truck").exists():
        raise StepRefused("no truck")


@ship.undo(verify="reply")
def take_back(ctx: Context) -> None: ...
