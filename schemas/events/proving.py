"""What shows that a completed run achieved what it was for."""

from amends.schemas.events.base import EventStruct


class ExpectationChecked(EventStruct, frozen=True, kw_only=True):
    """What is expected of the run holds, or does not; `message` says why it does not where the answer does not."""

    path: str
    held: bool
    message: str | None
