"""What shows that a run achieved what it was for."""

from amends.schemas.events.base import EventStruct
from amends.schemas.ids import Direction


class ExpectationChecked(EventStruct, frozen=True, kw_only=True):
    """What is expected of the run holds, or does not; `message` says why it does not where the answer does not."""

    path: str
    held: bool
    message: str | None


class VerificationPlanned(EventStruct, frozen=True, kw_only=True):
    """The run ends, and what this step or undo did is read back later, from `due_at` on."""

    path: str
    direction: Direction
    due_at: str


class VerificationRequested(EventStruct, frozen=True, kw_only=True):
    """The read-back of an ended run is asked, at `due_at`; with a higher number again."""

    path: str
    direction: Direction
    number: int
    due_at: str


class OutcomeAmended(EventStruct, frozen=True, kw_only=True):
    """The read-back has answered after the end: the outcome is published again, with what is proven now (rule 12)."""

    path: str
    direction: Direction
    held: bool
    message: str | None
    """Why it does not hold, where the answer does not say so."""
