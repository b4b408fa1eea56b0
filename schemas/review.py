"""Reviews out, decisions in (design, section 7 and rule 22): what a person is asked, and the signed answer."""

from typing import Final, Literal

import msgspec

from amends.schemas.avro.codec import writer_schema
from amends.schemas.avro.fields import BYTES, JSON, LONG, STRING, TIME, UUID, field, optional, record_of
from amends.schemas.canonical import encode
from amends.schemas.published import Published

Verdict = Literal["approve", "reject"]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a person's decision. Times are RFC 3339; `arguments` is JSON text, `null` where there are none."""

    review_id: str
    saga_id: str
    namespace: str
    saga: str
    definition_version: int
    definition_hash: str
    business_key: str
    step: str
    action: str
    arguments: msgspec.Raw
    digest: str
    requested_by: str
    requested_at: str
    expires_at: str
    on_timeout: Literal["reject", "escalate"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A person's answer. It counts only if `signature` is a registered key's over `signed_bytes` (rule 22)."""

    review_id: str
    saga_id: str
    digest: str
    verdict: Verdict
    expires_at: str
    reviewer: str
    reason: str | None
    decided_at: str
    key_id: str
    signature: bytes


def signed_bytes(decision: Decision) -> bytes:
    """Give the bytes that a reviewer signs: canonical JSON of review id, digest, verdict and expiry."""
    return encode([decision.review_id, decision.digest, decision.verdict, decision.expires_at])


_REVIEW: Final = record_of(
    "Review",
    "A request for a person's decision.",
    field("review_id", UUID, "Names the request; a decision is consumed at most once."),
    field("saga_id", UUID, "The run that waits; the record's key."),
    field("namespace", STRING, "Separates installations fed by the same topics."),
    field("saga", STRING, "Name of the definition."),
    field("definition_version", LONG, "Version of the definition."),
    field("definition_hash", STRING, "Content hash of the definition."),
    field("business_key", STRING, "Names the object of the request."),
    field("step", STRING, "Path of the step that waits."),
    field("action", STRING, "What is to be done if it is approved."),
    optional("arguments", JSON, "With which arguments; in Avro as JSON text."),
    field("digest", STRING, "Binds a decision to this run, version, action and arguments."),
    field("requested_by", STRING, "Who or what asks."),
    field("requested_at", TIME, "When it was asked."),
    field("expires_at", TIME, "When no answer becomes the answer below."),
    field("on_timeout", STRING, "reject or escalate; never approve."),
)
_DECISION: Final = record_of(
    "Decision",
    "A person's signed answer to a review.",
    field("review_id", UUID, "The review it answers."),
    field("saga_id", UUID, "The run that waits; the record's key."),
    field("digest", STRING, "The review's digest, as the reviewer saw it."),
    field("verdict", STRING, "approve or reject."),
    field("expires_at", TIME, "The decision does not count after this."),
    field("reviewer", STRING, "Who decided."),
    optional("reason", STRING, "Why."),
    field("decided_at", TIME, "When."),
    field("key_id", STRING, "The registered key that signed."),
    field("signature", BYTES, "Over the canonical JSON array of review id, digest, verdict and expiry."),
)

REVIEWS: Final = Published(name="review", topic="reviews", kind=Review, avro=writer_schema(_REVIEW))
DECISIONS: Final = Published(name="decision", topic="decisions", kind=Decision, avro=writer_schema(_DECISION))
