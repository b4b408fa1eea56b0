"""Rows of the store that the coordinator reads and writes besides the log itself. Instants are microseconds."""

from typing import Final, Literal

import msgspec

from amends.schemas.events import Digest, Origin
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

Status = Literal["queued", "running", "waiting", "compensating", "parked", "completed", "compensated", "killed"]
CLOSED: frozenset[str] = frozenset({"completed", "compensated", "killed"})
ORIGINS_KEPT = 5


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RunRow(_Row, frozen=True, kw_only=True):
    """The dedup, routing, timer and list index of one run; outlives its events."""

    saga_id: SagaId
    shard: int
    namespace: str
    saga: str
    definition_version: int
    definition_hash: str
    idempotency_key: str
    business_key: str
    generation: int
    request_digest: Digest
    status: Status
    cause: str | None
    version: int
    started_at: Instant
    updated_at: Instant
    ended_at: Instant | None
    next_due_at: Instant | None
    waiting_for: str | None = None
    quarantined: bool = False
    duplicates: int = 0
    origins: tuple[Origin, ...] = ()
    """The trigger's own and the first duplicates', five at most; `runs_by_origin` knows all."""


class RunCount(_Row, frozen=True, kw_only=True):
    """How many open runs of a definition have a status; quarantined ones are counted apart."""

    saga: str
    definition_version: int
    definition_hash: str
    status: Status
    quarantined: bool
    runs: int


class RunChange(_Row, frozen=True, kw_only=True):
    """What an entry changes in its run's row."""

    saga_id: SagaId
    status: Status
    cause: str | None
    version: int
    updated_at: Instant
    ended_at: Instant | None
    next_due_at: Instant | None
    waiting_for: str | None = None
    quarantined: bool = False


class StoredEntry(_Row, frozen=True, kw_only=True):
    """One entry in the log: its place in the shard and its canonical bytes."""

    saga_id: SagaId
    version: int
    shard: int
    position: int
    """1, 2, 3 … without a gap in its shard."""
    data: bytes


class ArchivedRow(_Row, frozen=True, kw_only=True):
    """What the store keeps of an entry that has moved to an archive: enough for the shard's chain."""

    saga_id: SagaId
    version: int
    shard: int
    position: int
    hash: str
    archive: str
    """The file's name."""


class InboxRow(_Row, frozen=True, kw_only=True):
    """A message waiting for a shard's owner. `message_id` is unique: the same wish twice is one."""

    shard: int
    message_id: str
    body: bytes


class DeadLetterRow(_Row, frozen=True, kw_only=True):
    """A message that could not become a run. `n` is given by the store, from 1; 0 before."""

    n: int = 0
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    idempotency_key: str | None
    saga: str | None
    reason: str
    detail: str
    path: str | None
    saga_id: SagaId | None
    size_bytes: int
    at: Instant
    redriven_at: Instant | None = None


class Duplicate(_Row, frozen=True, kw_only=True):
    """The same request again, from another place on the bus."""

    saga_id: SagaId
    origin: Origin


class ShardRow(_Row, frozen=True, kw_only=True):
    """A shard as a lease sees it. `clean`: the last owner left in order."""

    shard: int
    owner: str | None
    epoch: int
    expires_at: Instant | None
    position: int
    head: str
    clean: bool


class Lease(_Row, frozen=True, kw_only=True):
    """A shard this worker owns now: what its first append compares against."""

    shard: int
    epoch: int
    position: int
    head: str
    clean: bool
    """False: the former owner did not leave in order, so an open attempt may have been cut off."""


class RelayWait(_Row, frozen=True, kw_only=True):
    """Where the relay stands still, because a topic refuses the record there."""

    shard: int | None
    """None: the dead letters, whose `position` is their number."""
    position: int
    why: str
    since: Instant


ERASED: Digest = "erased"
"""In place of a run's `request_digest` once its subject was erased: what was asked cannot be compared any more."""


class SubjectRow(_Row, frozen=True, kw_only=True):
    """A subject's data key as the store keeps it. A subject that was erased and comes again has another one."""

    key_id: str
    subject: str
    """The subject's name, hashed under the master key."""
    label: str
    """The subject's name as it was given, sealed under this key."""
    wrapped: bytes | None
    """The data key under the master key; None once it is erased."""
    made_at: Instant
    held: str | None = None
    """Why it may not be erased."""
    held_by: str | None = None
    held_at: Instant | None = None
    erased_at: Instant | None = None
    erased_by: str | None = None
    reason: str | None = None
    """Why it was erased."""


class SubjectFacts(_Row, frozen=True, kw_only=True):
    """A subject, and how many runs were sealed under its key."""

    row: SubjectRow
    runs: int
    open_runs: int


class DefinitionRow(_Row, frozen=True, kw_only=True):
    """A stored definition: `body` is the JSON of a `StoredDefinition`."""

    hash: str
    name: str
    version: int
    body: bytes
    stored_at: Instant


class LocalRecord(_Row, frozen=True, kw_only=True):
    """A record of a local topic; partition 0 always. `offset` is given by the store, from 0."""

    topic: str
    offset: int = 0
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    at: Instant


ANSWER: Final = "amends.answer"
"""In place of a message's type where it answers for a pending action: these are awaited by their key alone."""


class MessageRow(_Row, frozen=True, kw_only=True):
    """A message from outside, kept until a wait takes it or it expires; then its id is remembered for as long.

    `offset` is given by the store to a message that came by no topic; `taken_by` is the run that it was brought to.
    """

    message_id: str
    correlation_key: str
    type: str
    answer: str | None = None
    reason: str | None = None
    external_id: str | None = None
    body: str
    """JSON text; empty once a run has taken it."""
    topic: str
    partition: int = -1
    offset: int = -1
    received_at: Instant
    expires_at: Instant
    actor: str
    taken_by: SagaId | None = None

    @property
    def awaited_as(self) -> str:
        """What a wait that it meets waits for."""
        return self.type if self.answer is None else ANSWER


Waited = tuple[str, str]
"""A correlation key and the type of message that some run waited for."""


def nobody_waited(awaited_as: str, key: str) -> str:
    """What the dead letter of a message that nobody took says."""
    return f"nobody waited for {awaited_as} {key}"


class AwaitedRow(_Row, frozen=True, kw_only=True):
    """A message that a run waits for. One message meets one wait: the oldest for its key and type."""

    saga_id: SagaId
    path: str
    shard: int
    correlation_key: str
    type: str


class LocksWanted(_Row, frozen=True, kw_only=True):
    """A run that begins wants these locks, all or none; it stands in the row of each key from now on (rule 16)."""

    saga_id: SagaId
    shard: int
    keys: tuple[str, ...]
    at: Instant


class LocksLeft(_Row, frozen=True, kw_only=True):
    """A run gives up its place, or what it holds; who is first then is told through the inbox of its shard."""

    saga_id: SagaId
    keys: tuple[str, ...] | None
    """None: all of them, because it has ended."""
    at: Instant


class LockRow(_Row, frozen=True, kw_only=True):
    """One run's place in the row of one key: the first holds the lock, once it is the first in all of its rows."""

    key: str
    saga_id: SagaId
    shard: int
    place: int
    """Smaller is earlier, over all keys: so nobody waits in a circle."""
    since: Instant
    held_since: Instant | None


class ShardAppend(_Row, frozen=True, kw_only=True):
    """What one batch appends to one shard, behind one compare-and-set (design, section 2, Append)."""

    shard: int
    epoch: int
    position: int
    """The position the owner believes the shard to be at."""
    head: str
    """The shard's head after this append (equal to the old one if there are no entries)."""
    entries: tuple[StoredEntry, ...]
    started: tuple[RunRow, ...]
    changed: tuple[RunChange, ...]
    inbox_done: tuple[str, ...]
    awaited: tuple[AwaitedRow, ...] = ()
    """Waits that begin; a message that is kept for one becomes a row of the shard's inbox."""
    not_awaited: tuple[tuple[SagaId, str], ...] = ()
    """Waits that are over, by run and path."""
    refused: tuple[str, ...] = ()
    """Messages that became dead letters: their ids are free again, for those that are redriven."""
    given_back: tuple[MessageRow, ...] = ()
    """Messages that met no wait after all: others may have them. `taken_by` is the run that gives one back."""


class Batch(_Row, frozen=True, kw_only=True):
    """One transaction: everything in it becomes visible, or nothing."""

    appends: tuple[ShardAppend, ...] = ()
    inbox: tuple[InboxRow, ...] = ()
    """Starts handed to other shards."""
    dead_letters: tuple[DeadLetterRow, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    blobs: tuple[tuple[Digest, bytes], ...] = ()
    locks: tuple[LocksWanted | LocksLeft, ...] = ()
    """In the order in which they were decided."""
    sealed: tuple[tuple[str, SagaId], ...] = ()
    """Runs that begin under a subject's key: its id, and the run. The key must not be erased by then."""
