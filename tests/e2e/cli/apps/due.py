"""Runs about people that are still due: one has ended and is to be read back, one waits, one is pending."""

import os
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Pending, Saga, Topic


class Errand(BaseModel):
    request_id: str
    person: str


class Done(BaseModel):
    text: str = "done"


delivery = Saga("delivery", trigger=Topic("deliveries", Errand, idempotency_key="request_id"), subject="person")


@delivery.action(irreversible=True, idempotent=True)
def deliver(trigger: Errand) -> Done:
    return Done(text=f"for {trigger.person}")


@deliver.verify(verify_after=os.environ.get("READ_BACK_AFTER", "1s"), verify_within="1s")
def is_delivered(trigger: Errand, done: Done = deliver.result) -> bool:
    return done.text == f"for {trigger.person}" and not Path("lost").exists()


invitation = Saga("invitation", trigger=Topic("invitations", Errand, idempotency_key="request_id"), subject="person")
answer = invitation.wait("answer", Done, correlation=invitation.trigger.request_id, timeout="10m")

transfer = Saga("transfer", trigger=Topic("transfers", Errand, idempotency_key="request_id"), subject="person")


@transfer.action(irreversible=True, idempotent=True, pending_within="10m")
def send(ctx: Context, trigger: Errand) -> Done | Pending:
    return Pending(correlation=f"T-{trigger.request_id}")
