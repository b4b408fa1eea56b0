"""How a run begins: its trigger, a rerun, its locks."""

from amends.schemas.events.base import Digest, EventStruct, Origin
from amends.schemas.ids import SagaId


class SagaStarted(EventStruct, frozen=True, kw_only=True):
    """A trigger became a run. `request_digest` is what conflicts are decided by (rule 5)."""

    idempotency_key: str
    business_key: str
    generation: int
    origin: Origin | None
    trigger: Digest
    request_digest: Digest
    deadline_at: str
    shard: int
    traceparent: str | None


class RerunStarted(EventStruct, frozen=True, kw_only=True):
    """A person had a request carried out anew: this run is its next generation. Who it was is the entry's `actor`."""

    former: SagaId
    """The run of the generation before, which has ended and stays what it is."""
    reason: str


class LocksRequested(EventStruct, frozen=True, kw_only=True):
    """The run stands in the row of each of these keys, and begins when it is the first in all of them (rule 16)."""

    keys: tuple[str, ...]


class LocksTaken(EventStruct, frozen=True, kw_only=True):
    """The locks are the run's, all of them, until its outcome."""

    keys: tuple[str, ...]


class LockReleased(EventStruct, frozen=True, kw_only=True):
    """A person took a lock away from a parked run; who it was is the entry's `actor`."""

    key: str
    reason: str
