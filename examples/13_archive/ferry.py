"""Sells ferry tickets; what was sold long ago moves out of the log, and can still be read."""

from pydantic import BaseModel, PositiveInt

from amends import Context, Saga, Topic


class Passage(BaseModel):
    """What arrives on the topic `passages`."""

    request_id: str
    passenger: str
    cars: PositiveInt


passage = Saga("passage", trigger=Topic("passages", Passage, idempotency_key="request_id", business_key="passenger"))


@passage.action(idempotent=True)
async def stow(ctx: Context, trigger: Passage) -> str:
    return f"deck {int(ctx.idempotency_key[:2], 16) % 3 + 1}"


@stow.undo(verify="reply")
async def unload(trigger: Passage, deck: str | None = stow.maybe) -> None: ...


@passage.result
def ticket(trigger: Passage, deck: str = stow.result) -> str:
    return f"{trigger.cars} on {deck}"
