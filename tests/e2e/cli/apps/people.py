"""A saga about people: what its runs hold is sealed. Its participant talks: whatever it is told, it repeats."""

import os
from pathlib import Path

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, StepUnavailable, Topic


class Request(BaseModel):
    request_id: str
    order_id: str
    person: str
    text: str
    fail: str = ""


class Answer(BaseModel):
    text: str


people = Saga(
    "letter",
    trigger=Topic(
        os.environ.get("LETTERS_TOPIC", "letters"), Request, idempotency_key="request_id", business_key="order_id"
    ),
    subject="person",
    seal_result=os.environ.get("SEAL_RESULT") == "yes",
)


@people.action(idempotent=True)
async def write(ctx: Context, trigger: Request) -> Answer:
    return Answer(text=f"Dear {trigger.person}, {trigger.text}" * (2_000 if trigger.fail == "large" else 1))


@write.undo(verify="reply")
def tear_up(ctx: Context, trigger: Request, answer: Answer | None = write.maybe) -> None:
    if trigger.fail == "undo" and not Path("mended").exists():
        raise StepRefused(f"no bin for {trigger.text}")


@people.action(irreversible=True, idempotent=True)
async def send(ctx: Context, trigger: Request, answer: Answer = write.result) -> Answer:
    if trigger.fail == "once":
        raise StepUnavailable(f"no stamp for {trigger.text}", kind="out of stamps")
    if trigger.fail in {"undo", "refuse"}:
        raise StepRefused(f"no post to {trigger.person}: {trigger.text}")
    return answer
