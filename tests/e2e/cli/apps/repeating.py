"""A request that is forgotten as soon as its run has ended."""

from pydantic import BaseModel

from amends import Context, Saga, Topic


class Reading(BaseModel):
    """A trigger; the meter's number is its key."""

    meter: str
    value: int


reading = Saga("reading", version=1, trigger=Topic("meters.read", Reading, idempotency_key="meter", dedup_for="1ms"))


@reading.read
def total(ctx: Context, trigger: Reading) -> int:
    return trigger.value
