"""Moves paintings between museums; who moved which, and that nobody changed the record, can be proved."""

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic


class Transfer(BaseModel):
    """What a registrar asks for."""

    request_id: str
    painting: str
    to: str


transfers = Saga(
    "transfer", trigger=Topic("transfers", Transfer, idempotency_key="request_id", business_key="painting")
)


@transfers.action(idempotent=True)
async def crate(ctx: Context, trigger: Transfer) -> str:
    return f"crate {ctx.idempotency_key[:8]}"


@crate.undo(verify="reply")
async def hang_again(trigger: Transfer, crate: str | None = crate.maybe) -> None: ...


@transfers.action(irreversible=True, idempotent=True)
async def ship(trigger: Transfer, crate: str = crate.result) -> str:
    if trigger.to == "the attic":
        raise StepRefused("not insured there", kind="not_insured")
    return f"{crate} to {trigger.to}"
