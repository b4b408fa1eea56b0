"""Sends invoices: number it, print it, put it into an envelope."""

from pathlib import Path

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic

PAPER_IS_OUT = Path("paper-is-out")


class Invoice(BaseModel):
    """What arrives on the topic `invoices`."""

    request_id: str
    customer: str
    amount: str


invoices = Saga("invoice", trigger=Topic("invoices", Invoice, idempotency_key="request_id", business_key="customer"))


@invoices.action(idempotent=True)
async def number(ctx: Context, trigger: Invoice) -> str:
    return f"2026-{int(ctx.idempotency_key[:4], 16)}"


@number.undo(verify="reply")
async def cancel_number(trigger: Invoice, given: str | None = number.maybe) -> None: ...


@invoices.action(idempotent=True, irreversible=True)
async def mail(trigger: Invoice, given: str = number.result) -> str:
    if PAPER_IS_OUT.exists():  # noqa: ASYNC240  a file that is just looked for
        raise StepRefused("the printer has no paper", kind="no_paper")
    return f"{given} to {trigger.customer}: {trigger.amount}"
