"""A saga that waits for goods, then counts them."""

import os

from pydantic import BaseModel

from amends import Context, Saga, Topic


class Job(BaseModel):
    id: str
    item: str


class Arrival(BaseModel):
    pallets: int


jobs = Saga(
    "jobs",
    trigger=Topic(os.environ["ORDERS_TOPIC"], Job, idempotency_key="id", business_key="item"),
    deadline="1d",
)
goods = jobs.wait("goods", Arrival, correlation=jobs.trigger.item, timeout="1h")


@jobs.read
def count(ctx: Context, arrival: Arrival = goods.result) -> int:
    return arrival.pallets
