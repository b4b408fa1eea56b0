"""How a run turns back: the drain, the undo list, each undo."""

from amends.schemas.events.base import Cause, Digest, EventStruct, Failure, VerifiedBy
from amends.schemas.ids import EffectKey


class DrainStarted(EventStruct, frozen=True, kw_only=True):
    """No new forward work; what was sent is awaited and settled (rule 7)."""

    cause: Cause
    failure: Failure | None
    reason: str | None


class CompensationStarted(EventStruct, frozen=True, kw_only=True):
    """Everything is settled; these steps are undone in this order (rule 9)."""

    undo_list: tuple[str, ...]


class UndoRequested(EventStruct, frozen=True, kw_only=True):
    """The intent of an undo; see `StepRequested`."""

    path: str
    attempt: int
    generation: int
    idempotency_key: EffectKey
    arguments: Digest
    timeout_at: str
    same_request: bool
    permission: str


class UndoSucceeded(EventStruct, frozen=True, kw_only=True):
    """The participant's reply says the step is undone."""

    path: str
    attempt: int
    external_id: str | None


class UndoFailed(EventStruct, frozen=True, kw_only=True):
    """The undo did not happen, for certain."""

    path: str
    attempt: int
    kind: str
    message: str
    retriable: bool


class UndoVerified(EventStruct, frozen=True, kw_only=True):
    """The step counts as undone; the next undo may begin."""

    path: str
    by: VerifiedBy
