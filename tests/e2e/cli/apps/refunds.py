"""Refunds in files: money back, goods back, a mail. The trigger says what goes wrong."""

import time
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Retry, Saga, StepRefused, StepUnavailable, Topic

WORLD = Path("world")


class Refund(BaseModel):
    """`fail` names what goes wrong, `until` a file that `restock` waits for."""

    request_id: str
    order_id: str
    fail: str | None = None
    until: str | None = None


class Reversal(BaseModel):
    """What payments answers."""

    id: str


refund = Saga(
    "refund",
    version=3,
    trigger=Topic("billing.refund-requested", Refund, idempotency_key="request_id", business_key="order_id"),
)


def charge_of(trigger: Refund) -> Path:
    return WORLD / f"reversed-{trigger.order_id}"


@refund.action(idempotent=True, dependency="payments")
def reverse_charge(ctx: Context, trigger: Refund) -> Reversal:
    WORLD.mkdir(exist_ok=True)
    charge_of(trigger).write_text(ctx.idempotency_key)
    return Reversal(id=f"rev-{trigger.order_id}")


@reverse_charge.undo(retry=Retry(attempts=1))
def recharge(ctx: Context, trigger: Refund, _reversal: Reversal | None = reverse_charge.maybe) -> None:
    if trigger.fail == "undo" and not Path("ledger-is-open").exists():
        raise StepRefused("the ledger is closed")
    charge_of(trigger).unlink(missing_ok=True)


@recharge.verify
def is_recharged(ctx: Context, trigger: Refund) -> bool:
    return not charge_of(trigger).exists()


@refund.action(after=reverse_charge, idempotent=True, dependency="inventory")
def restock(ctx: Context, trigger: Refund) -> None:
    while trigger.until is not None and not Path(trigger.until).exists():
        time.sleep(0.02)


@restock.undo(verify="reply")
def take_out(ctx: Context) -> None: ...


@refund.action(
    after=restock, irreversible=True, unsafe="a mail twice does no harm", retry=Retry(attempts=2, wait="10ms")
)
def notify(ctx: Context, trigger: Refund, _reversal: Reversal = reverse_charge.result) -> None:
    if trigger.fail in {"mail", "undo"}:
        raise StepUnavailable("mail 503")


@refund.result
def result(reversal: Reversal = reverse_charge.result) -> Reversal:
    return reversal
