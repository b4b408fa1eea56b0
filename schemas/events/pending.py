"""What was asked for and is answered later, by a message: that it is pending, and its answer."""

from typing import Literal

from amends.schemas.events.base import Digest, EventStruct
from amends.schemas.ids import Direction


class StepPending(EventStruct, frozen=True, kw_only=True):
    """The attempt has returned, and what it asked for is not done yet: a message of this key will say (rule 2).

    Nothing runs for it meanwhile. Without an answer by `timeout_at` it is in doubt (rule 8).
    """

    path: str
    direction: Direction
    attempt: int
    correlation: str
    external_id: str | None
    timeout_at: str


class AnswerReceived(EventStruct, frozen=True, kw_only=True):
    """A message answered for what was pending; what it means stands beside it in the entry.

    `body` is what it carried, None where that is more than a payload may be.
    """

    path: str
    direction: Direction
    attempt: int
    message_id: str
    correlation: str
    message_type: str
    answer: Literal["succeeded", "refused", "unavailable", "unknown"]
    body: Digest | None
