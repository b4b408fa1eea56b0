"""Messages that `wait` steps and pending actions are completed by (design, sections 5 and 7)."""

from typing import Final, Literal

import msgspec

from amends.schemas.avro.codec import writer_schema
from amends.schemas.avro.fields import JSON, STRING, TIME, field, optional, record_of
from amends.schemas.published import Published

Answer = Literal["succeeded", "refused", "unavailable", "unknown"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message for the run that waits for `correlation_key`. `body` is JSON text, `null` where there is none.

    `answer` is set when a pending action is completed: it says what is known, as `StepRefused` and its like do.
    """

    message_id: str
    correlation_key: str
    type: str
    answer: Answer | None
    reason: str | None
    external_id: str | None
    body: msgspec.Raw
    sent_at: str


_MESSAGE: Final = record_of(
    "Message",
    "What a wait step or a pending action is completed by.",
    field("message_id", STRING, "Deduplicated by it."),
    field("correlation_key", STRING, "Finds the run that waits; the record's key."),
    field("type", STRING, "Kind of message."),
    optional("answer", STRING, "Of a pending action: succeeded, refused, unavailable or unknown."),
    optional("reason", STRING, "Why, where the answer is not succeeded."),
    optional("external_id", STRING, "The participant's id of what it did."),
    optional("body", JSON, "The message's content or the action's result; in Avro as JSON text."),
    field("sent_at", TIME, "When it was sent."),
)

MESSAGES: Final = Published(name="message", topic="messages", kind=Message, avro=writer_schema(_MESSAGE))
