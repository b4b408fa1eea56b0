"""Moves households: pack, load, drive; and later, in another version, unpack as well."""

from pydantic import BaseModel, PositiveInt

from amends import Saga, Topic


class Move(BaseModel):
    """What arrives on the topic `moves`."""

    request_id: str
    household: str
    boxes: PositiveInt


class Keys(BaseModel):
    """The message that the new home is free."""

    address: str


moving = Saga(
    "moving",
    version=1,
    trigger=Topic("moves", Move, idempotency_key="request_id", business_key="household"),
    deadline="3d",
)


@moving.action(idempotent=True)
async def pack(trigger: Move) -> int:
    return trigger.boxes


@pack.undo(verify="reply")
async def unpack_again(boxes: int | None = pack.maybe) -> None: ...


keys = moving.wait("keys", Keys, correlation=moving.trigger.household, timeout="2d", on_timeout="fail", after=pack)


@moving.action(idempotent=True, irreversible=True)
async def drive(to: str = keys.result.address, boxes: int = pack.result) -> str:
    return f"{boxes} boxes in {to}"
