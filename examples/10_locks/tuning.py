"""Tunes pianos: one run at a time for each piano, in the order in which they came."""

from pydantic import BaseModel

from amends import Saga, Topic


class Tuning(BaseModel):
    """What arrives on the topic `tunings`."""

    request_id: str
    piano: str
    pitch_hz: int


class Tuned(BaseModel):
    """What the tuner says afterwards."""

    strings: int


tuning = Saga(
    "tuning",
    trigger=Topic("tunings", Tuning, idempotency_key="request_id", business_key="piano"),
    locks={"piano": "piano"},  # A run about the Bosendorfer locks `piano:Bosendorfer`.
    deadline="2d",
)


@tuning.action(idempotent=True)
async def open_lid(trigger: Tuning) -> None: ...


@open_lid.undo(verify="reply")
async def close_lid(trigger: Tuning) -> None: ...


done = tuning.wait(
    "done", Tuned, correlation=tuning.trigger.request_id, timeout="1d", on_timeout="fail", after=open_lid
)


@tuning.result
def told(trigger: Tuning, tuned: Tuned = done.result) -> str:
    return f"{tuned.strings} strings at {trigger.pitch_hz} Hz"
