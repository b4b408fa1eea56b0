"""The outcome record (contract, section 4): one for each run that ended or parked, the answer to its trigger."""

from typing import Final, Literal

import msgspec

from amends.schemas.avro.codec import writer_schema
from amends.schemas.avro.fields import JSON, LONG, STRING, TIME, UUID, array_of, field, optional, record_of
from amends.schemas.events import Cause, Failure, Proof, VerifiedBy
from amends.schemas.published import Published

OutcomeStatus = Literal["completed", "compensated", "parked", "killed"]


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was undone, and what the word for it rests on."""

    step: str
    verified_by: VerifiedBy


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that stays in the world. `since` is RFC 3339."""

    step: str
    since: str
    why: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one trigger. Times are RFC 3339; `result` is JSON text, `null` where there is none."""

    outcome_id: str
    supersedes: str | None
    saga_id: str
    namespace: str
    saga: str
    definition_version: int
    definition_hash: str
    idempotency_key: str
    business_key: str
    generation: int
    status: OutcomeStatus
    cause: Cause | None
    started_at: str
    ended_at: str
    result: msgspec.Raw
    failure: Failure | None
    undone: tuple[Undone, ...]
    exposure: tuple[Exposure, ...]
    cost_usd: str
    evidence: tuple[str, ...]
    log_version: int
    log_hash: str
    proof: Proof | None = None
    """Of a completed run from which something was expected; None is unproven."""


_FAILURE: Final = record_of(
    "Failure",
    "Why the run turned back or stopped.",
    field("step", STRING, "Path of the step."),
    field("attempt", LONG, "Attempt at it, from 1."),
    field("kind", STRING, "refused, unavailable, in_doubt, timeout, exception, … or the handler's own kind."),
    field("message", STRING, "What the participant or handler said."),
)
_UNDONE: Final = record_of(
    "Undone",
    "A step that was undone.",
    field("step", STRING, "Path of the step."),
    field("verified_by", STRING, "readback, reply, lookup or person."),
)
_EXPOSURE: Final = record_of(
    "Exposure",
    "An effect that stays in the world.",
    field("step", STRING, "Path of the step."),
    field("since", TIME, "When the effect took, or was requested."),
    field("why", STRING, "Why it was not undone."),
)
_OUTCOME: Final = record_of(
    "Outcome",
    "What became of one trigger: one record for each run that ended or parked.",
    field("outcome_id", UUID, "Deduplicate by it: the same outcome always has the same id."),
    optional("supersedes", UUID, "The outcome that this one replaces: a parked run that was resolved."),
    field("saga_id", UUID, "The run."),
    field("namespace", STRING, "Separates installations fed by the same topics."),
    field("saga", STRING, "Name of the definition."),
    field("definition_version", LONG, "Version of the definition."),
    field("definition_hash", STRING, "Content hash of the definition."),
    field("idempotency_key", STRING, "Names the request."),
    field("business_key", STRING, "Names the object of the request; the record's key."),
    field("generation", LONG, "0 for the trigger's own run, one more for each rerun."),
    field("status", STRING, "completed, compensated, parked or killed."),
    optional("cause", STRING, "failed, cancelled, deadline, budget or rejected."),
    field("started_at", TIME, "When the trigger became a run."),
    field("ended_at", TIME, "When the run ended or parked."),
    optional("result", JSON, "What the saga returns; in Avro as JSON text."),
    optional("failure", _FAILURE, "Why the run turned back or stopped."),
    field("undone", array_of(_UNDONE), "In the order they were undone."),
    field("exposure", array_of(_EXPOSURE), "What remains in the world."),
    field("cost_usd", STRING, "Decimal number of US dollars."),
    field("evidence", array_of(STRING), "Audit ids of the evidence."),
    field("log_version", LONG, "Version of the run's last entry: the head of its chain."),
    field("log_hash", STRING, "Hash of that entry."),
    optional("proof", STRING, "proven, flagged or pending: whether what was expected of a completed run held."),
)

OUTCOMES: Final = Published(name="outcome", topic="outcomes", kind=Outcome, avro=writer_schema(_OUTCOME))
