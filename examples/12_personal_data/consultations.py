"""Invites patients: what is written about one of them is sealed, and can be erased."""

from pydantic import BaseModel

from amends import Context, Saga, Topic


class Consultation(BaseModel):
    """What the practice publishes. Keys that are kept in clear name nobody: a request, an appointment, a number."""

    request_id: str
    appointment: str
    patient: str
    complaint: str


consultation = Saga(
    "consultation",
    trigger=Topic("consultations", Consultation, idempotency_key="request_id", business_key="appointment"),
    subject="patient",  # Everything the run holds is sealed under this patient's own key.
)


@consultation.read
async def triage(ctx: Context, trigger: Consultation) -> str:
    ctx.checkpoint("triaged", complaint=trigger.complaint)
    return f"soon, because of {trigger.complaint}"


@consultation.result
def invitation(trigger: Consultation, when: str = triage.result) -> str:
    return f"{trigger.appointment}: {when}"
