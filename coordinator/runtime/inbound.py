"""What reaches the engine. Everything arrives through one queue, so one thread at a time touches runs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from amends.coordinator.core.messages import Message, ReadBack, Replied
from amends.coordinator.ports.rows import InboxRow, Lease
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.record import Record
from amends.schemas.wishes import Deliver

if TYPE_CHECKING:
    from amends.coordinator.runtime.batching import OpenBatch

NOTE_BYTES = 512
"""About what a piece of evidence takes in an entry."""

OURSELVES = "amends"
"""The actor of what no person asked for."""


class Item(Struct, frozen=True, kw_only=True):
    """A message for one run, with what its entry will say of its cause and the values it brings."""

    saga_id: SagaId
    message: Message
    cause: str
    causation_id: str | None
    actor: str = OURSELVES
    payloads: Mapping[Digest, bytes] = {}
    inbox_id: str | None = None
    shard: int | None = None
    subject: str | None = None
    """Of a start whose run is to be sealed: whose data it is."""
    brought: Deliver | None = None
    """A message from outside as it came, to be given back where nobody waits for it any more."""

    @property
    def size_bytes(self) -> int:
        """What it brings, so about what its entry will be larger by than others."""
        notes = self.message.notes if isinstance(self.message, Replied | ReadBack) else ()
        return sum(map(len, self.payloads.values())) + NOTE_BYTES * len(notes)

    def with_message(self, message: Message, *, saga_id: SagaId | None = None) -> "Item":
        """The same, saying something else, perhaps to another run."""
        return replace(self, message=message, saga_id=saga_id or self.saga_id)


class Arrived(Struct, frozen=True, kw_only=True):
    """Trigger records from the bus, in order."""

    records: Sequence[Record]

    def cut(self, *, records_max: int, bytes_max: int) -> tuple[Sequence[Record], Sequence[Record]]:
        """The first of them, at least one, and the rest."""
        size_bytes = 0
        for index, record in enumerate(self.records[:records_max]):
            size_bytes += len(record.value or b"")
            if size_bytes > bytes_max:
                records_max = max(1, index)
                break
        return self.records[:records_max], self.records[records_max:]


class Waiting(Struct, frozen=True, kw_only=True):
    """Rows of a shard's inbox."""

    rows: Sequence[InboxRow]
    moment: int | None = None
    """What `Engine.inbox_moment` was before they were read; None: they were read just now."""


class Committed(Struct, frozen=True, kw_only=True):
    """The store has the batch."""

    batch: "OpenBatch"


class AppendFailed(Struct, frozen=True, kw_only=True):
    """It has not, and why."""

    batch: "OpenBatch"
    error: Exception


class Gained(Struct, frozen=True, kw_only=True):
    """Shards this worker owns from now on."""

    leases: Sequence[Lease]


class Yielding(Struct, frozen=True, kw_only=True):
    """Shards to be given back: nothing new is dispatched in them."""

    shards: Sequence[int]


class Lost(Struct, frozen=True, kw_only=True):
    """Shards this worker does not own any more."""

    shards: Sequence[int]


class Wake(Struct, frozen=True, kw_only=True):
    """Look again: the clock of a test has moved, or somebody waits for `idle`."""


class StopWished(Struct, frozen=True, kw_only=True):
    """No new work; what runs gets its bounded time."""


Inbound = Item | Arrived | Waiting | Committed | AppendFailed | Gained | Yielding | Lost | Wake | StopWished
