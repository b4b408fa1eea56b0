"""Welcomes a new colleague: an account, a laptop, a desk; and says on the way how far it is."""

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic


class Hire(BaseModel):
    """What human resources publish."""

    request_id: str
    name: str
    office: str


onboarding = Saga("onboarding", trigger=Topic("hires", Hire, idempotency_key="request_id", business_key="name"))


@onboarding.action(idempotent=True)
async def equip(ctx: Context, trigger: Hire) -> str:
    """Three things in one step: what came of each is told as a checkpoint."""
    account = trigger.name.lower().replace(" ", ".")
    ctx.checkpoint("account_created", account=account)
    ctx.checkpoint("laptop_ordered", model="14 inch", ships_to=trigger.office)
    ctx.checkpoint("badge_printed")
    return account


@equip.undo(verify="reply")
async def take_back(ctx: Context, account: str | None = equip.maybe) -> None:
    ctx.checkpoint("laptop_returned")


@onboarding.action(idempotent=True)
async def assign_desk(trigger: Hire, account: str = equip.result) -> str:
    if trigger.office == "Kiel":
        raise StepRefused("there is no free desk in Kiel", kind="no_desk")
    return f"{trigger.office}, desk of {account}"


@assign_desk.undo(verify="reply")
async def free_desk(desk: str | None = assign_desk.maybe) -> None: ...
