"""What reaches the engine. Everything arrives through one queue, so one thread alone touches runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from amends.coordinator.core.messages import Message
from amends.coordinator.ports.rows import InboxRow, Lease
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.record import Record

if TYPE_CHECKING:
    from amends.coordinator.runtime.batching import Pending

OURSELVES = "amends"
"""The actor of what no person asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A message for one run, with what its entry will say of its cause and the values it brings."""

    saga_id: SagaId
    message: Message
    cause: str
    causation_id: str | None
    actor: str = OURSELVES
    payloads: Mapping[Digest, bytes] = field(default_factory=dict)
    inbox_id: str | None = None
    shard: int | None = None

    def with_message(self, message: Message) -> "Item":
        """The same, saying something else."""
        return replace(self, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """Trigger records from the bus, in order."""

    records: Sequence[Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Rows of a shard's inbox."""

    rows: Sequence[InboxRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The store has the batch."""

    pending: "Pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendFailed:
    """It has not, and why."""

    pending: "Pending"
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Gained:
    """Shards this worker owns from now on."""

    leases: Sequence[Lease]


@dataclass(frozen=True, slots=True, kw_only=True)
class Yielding:
    """Shards to be given back: nothing new is dispatched in them."""

    shards: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Shards this worker does not own any more."""

    shards: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Look again: the clock of a test has moved, or somebody waits for `idle`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWished:
    """No new work; what runs gets its bounded time."""


Inbound = Item | Arrived | Waiting | Committed | AppendFailed | Gained | Yielding | Lost | Wake | StopWished
