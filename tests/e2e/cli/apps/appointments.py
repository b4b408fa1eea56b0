"""A saga about people that waits for their answers: what came for it, taken or not, is about them."""

from pydantic import BaseModel

from amends import Context, Saga, Topic


class Invitation(BaseModel):
    request_id: str
    person: str


class Answer(BaseModel):
    day: int
    text: str


appointment = Saga(
    "appointment", trigger=Topic("invitations", Invitation, idempotency_key="request_id"), subject="person"
)
answer = appointment.wait("answer", Answer, correlation=appointment.trigger.request_id, timeout="10m")


@appointment.result
def noted(ctx: Context, said: Answer = answer.result) -> Answer:
    return said
