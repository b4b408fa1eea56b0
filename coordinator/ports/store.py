"""The store's port. All methods block; the runtime calls them from threads of its own.

Any method may raise `StoreUnavailable`: nothing was done then, try again later. `append` alone also raises `Fenced`,
`RunExists` and `KeyErased`; after a lost COMMIT reply the store itself finds out what happened before it answers.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, Protocol

from amends.coordinator.ports.rows import (
    ArchivedRow,
    AwaitedRow,
    Batch,
    DeadLetterRow,
    DefinitionRow,
    InboxRow,
    Lease,
    LocalRecord,
    LockRow,
    MessageRow,
    RelayWait,
    RunCount,
    RunRow,
    ShardRow,
    StoredEntry,
    SubjectFacts,
    SubjectRow,
    Waited,
)
from amends.coordinator.sealing.master import MasterReference
from amends.schemas.events import Digest, Origin
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

LetterOf = Callable[[MessageRow], DeadLetterRow]
"""Makes a dead letter of a message that nobody waited for."""

Role = Literal["worker", "relay", "bus"]
"""Leases of one shard in different roles are independent. `bus` has the one shard 0."""


class LogReading(Protocol):
    """Reading the log and the index of runs: what replay, audit, relay and the command line need."""

    master: MasterReference
    """What unwraps the data keys: they and the sealed values lie in the store, it does not."""

    def archived(self, shard: int, *, after: int, limit: int) -> list[ArchivedRow]:
        """What stays of a shard's entries that have moved to an archive, above the position `after`, in order."""
        ...

    def archived_of(self, saga_id: SagaId) -> list[ArchivedRow]:
        """The same of a run, by version; none of a run whose entries are in the log."""
        ...

    def subject_key(self, key_id: str) -> SubjectRow | None:
        """A data key by its id, erased or not."""
        ...

    def subject_keys(self, subjects: Sequence[str]) -> dict[str, SubjectRow]:
        """The keys of those of the subjects (by their hashed names) that have one which is not erased."""
        ...

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        """A run's entries with a version above `after`, in order."""
        ...

    def entries_from(self, shard: int, *, after: int, limit: int) -> list[StoredEntry]:
        """A shard's entries with a position above `after`, in order; never one past an uncommitted one."""
        ...

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        """All entries of the shard's runs that are not closed, ordered by run, then version."""
        ...

    def blob(self, digest: Digest) -> bytes | None:
        """An external payload."""
        ...

    def run(self, saga_id: SagaId) -> RunRow | None: ...

    def runs_by_id(self, saga_ids: Sequence[SagaId]) -> dict[SagaId, RunRow]:
        """Those of the ids that exist."""
        ...

    def runs_by_prefix(self, prefix: str, *, limit: int = 2) -> list[RunRow]: ...

    def runs_by_key(self, saga: str, idempotency_key: str) -> list[RunRow]:
        """Every generation, newest first."""
        ...

    def generations(self, namespace: str, saga: str, idempotency_keys: Sequence[str]) -> dict[str, int]:
        """The newest generation of each of these requests that has a run, by its key."""
        ...

    def accounted(self, namespace: str, saga: str, origins: Sequence[Origin]) -> set[Origin]:
        """Those places whose record began a run of the saga, was counted on one, or was in conflict with one."""
        ...

    def runs(
        self,
        *,
        status: str | None = None,
        saga: str | None = None,
        key: str | None = None,
        since: Instant | None = None,
        limit: int = 100,
        before: tuple[Instant, SagaId] | None = None,
    ) -> list[RunRow]:
        """Newest first by (started_at, saga_id). `key` matches the idempotency or the business key."""
        ...

    def runs_by_origin(self, topic: str, partition: int, offset: int) -> list[RunRow]:
        """Runs that this record started or was counted on as a duplicate."""
        ...

    def runs_open(self, *, limit: int = 100_000) -> list[RunRow]: ...

    def shards(self) -> list[ShardRow]: ...

    def definition(self, digest: str) -> DefinitionRow | None: ...

    def definitions(self) -> list[DefinitionRow]: ...

    def dead_letters(self, *, after: int = 0, limit: int = 100, whole: bool = True) -> list[DeadLetterRow]:
        """Those with a number above `after`, in order; unless they are to be `whole`, without value and headers."""
        ...

    def dead_letters_count(self) -> int:
        """How many there are; the last one's number."""
        ...

    def dead_letter(self, n: int) -> DeadLetterRow | None: ...

    def dead_letters_at(self, topic: str, partition: int, offset: int) -> list[DeadLetterRow]: ...

    def relay_waits(self) -> list[RelayWait]:
        """Where the relay stands still, by shard, the dead letters first; what it has passed since is left out."""
        ...

    def locks(self, *, key: str | None = None, saga_id: SagaId | None = None) -> list[LockRow]:
        """Who holds and who waits, by key, then in the order of their places."""
        ...

    def change_mark(self) -> object:
        """A value that differs after another process changed the store; cheap enough for every 20 ms."""
        ...

    def close(self) -> None: ...


Kind = Literal["memory", "sqlite", "postgresql"]

EMBEDDED: Final[frozenset[Kind]] = frozenset({"memory", "sqlite"})
"""Stores of one coordinator. A read takes microseconds and waits for no server: on a thread of its own it would take
several times as long."""


class LocalTopics(Protocol):
    """Topics as tables: the embedded bus. One partition, 0; offsets from 0."""

    kind: Kind

    def publish(self, records: Sequence[LocalRecord]) -> list[int]:
        """Append in one transaction; give the offsets. A topic comes into being with its first record."""
        ...

    def records(self, topic: str, *, after: int, limit: int) -> list[LocalRecord]:
        """Records with an offset above `after` (-1: from the start)."""
        ...

    def topics(self) -> list[str]: ...

    def consumed(self, group: str, topic: str) -> int:
        """The next offset the group will read; 0 at first."""
        ...

    def consume(self, group: str, positions: dict[str, int]) -> None:
        """Move the group's next offsets forward; never back."""
        ...


class Store(LogReading, LocalTopics, Protocol):
    """Everything: what a worker holds."""

    def migrate(self, *, shards: int) -> None:
        """Make or bring up the tables. Raises `UsageError` for a store that a newer version wrote."""
        ...

    def incarnation(self) -> str:
        """A UUID drawn when the store was made (a restored backup gets a new one)."""
        ...

    def now(self) -> Instant:
        """The clock that leases are counted by: the database's, or this machine's where there is one machine."""
        ...

    def append(self, batch: Batch) -> None:
        """Commit a batch. Raises `Fenced`, `RunExists`, `KeyErased` or `StoreUnavailable`; nothing of it is visible."""
        ...

    def claim(self, role: Role, owner: str, *, lease_ms: int, limit: int) -> list[Lease]:
        """Take up to `limit` shards that are free or expired, raise their epochs, mark them not clean."""
        ...

    def renew(self, role: Role, owner: str, *, lease_ms: int) -> list[int]:
        """Prolong the leases this owner still has; the shards it still has."""
        ...

    def release(self, role: Role, owner: str, shards: Sequence[int], *, clean: bool) -> None:
        """Give shards back; `clean` says that no attempt is open in them without a reply."""
        ...

    def beat(self, worker: str, *, lease_ms: int, role: Role = "worker") -> int:
        """Write this worker's heartbeat; the number alive in its role, itself included."""
        ...

    def retire(self, worker: str, *, role: Role = "worker") -> None:
        """Remove this worker's heartbeat: it is stopping."""
        ...

    def inbox(self, shard: int, *, limit: int = 1_000) -> list[InboxRow]:
        """Waiting messages of a shard, oldest first."""
        ...

    def put_inbox(self, rows: Sequence[InboxRow]) -> None:
        """From any process. A `message_id` that is already there stays as it is."""
        ...

    def put_messages(self, rows: Sequence[MessageRow]) -> list[bool]:
        """Keep messages, or bring them to the inbox of who waits for them; which of them are new by their ids."""
        ...

    def messages(self, *, key: str | None = None, limit: int = 100) -> list[MessageRow]:
        """Messages that are kept or remembered, newest first."""
        ...

    def awaited(self, *, key: str | None = None, saga_id: SagaId | None = None, limit: int = 100) -> list[AwaitedRow]:
        """Messages that are waited for, the oldest wait first: under one key, or by one run."""
        ...

    def sweep_messages(self, now: Instant, letter_of: LetterOf, *, limit: int = 1_000) -> int:
        """Forget messages that have expired; those that nobody took become dead letters. How many there were."""
        ...

    def mark_redriven(self, n: int, at: Instant) -> None: ...

    def put_definition(self, row: DefinitionRow) -> None:
        """Store under its hash. The same hash again changes nothing while a run of it is open, then its body only.

        Graphs of one version have instants in the order in which they were stored, whatever the clocks say.
        """
        ...

    def relay_position(self, shard: int) -> int:
        """How far the shard has been published."""
        ...

    def relayed(self, shard: int, *, epoch: int, position: int) -> None:
        """Move it forward. Raises `Fenced` if the relay's lease has a newer epoch."""
        ...

    def relay_waits_at(self, wait: RelayWait) -> None:
        """Write down where a shard's relay, or that of the dead letters, stands still; the last word counts."""
        ...

    def dead_letters_relayed(self) -> int:
        """The last dead letter's number that was published."""
        ...

    def dead_letters_move(self, n: int) -> None: ...

    def archivable(self, before: Instant, *, limit: int) -> list[RunRow]:
        """Runs that ended before an instant and whose entries are in the log, those that ended first first."""
        ...

    def archive(self, moved: Sequence[tuple[ArchivedRow, StoredEntry]]) -> None:
        """Delete these entries from the log and keep what stays of them. Raises `Conflict` where one is not as given.

        The runs' rows, and payloads outside the entries, stay.
        """
        ...

    def put_subjects(self, rows: Sequence[SubjectRow]) -> dict[str, SubjectRow]:
        """Keep keys of subjects that have none, and give the keys that these subjects have now."""
        ...

    def some_subject(self) -> SubjectRow | None:
        """Any subject whose key is not erased: what a master key is tried on."""
        ...

    def subjects(self) -> list[SubjectFacts]:
        """All of them, the latest first; a subject that came back after its erasure is there again."""
        ...

    def subject_runs(self, subject: str) -> list[SagaId]:
        """The runs sealed under any key of the subject."""
        ...

    def hold_subject(self, subject: str, *, reason: str | None, by: str, at: Instant) -> bool:
        """Hold it, or release it where there is no reason any more; False if no such subject has a key."""
        ...

    def erase_subject(
        self, subject: str, *, reason: str, by: str, at: Instant, waited: Sequence[Waited] = ()
    ) -> SubjectRow | None:
        """Destroy the subject's key, and what else of it stands in clear: local triggers, dead letters of its runs.

        `waited` is what these runs have waited for: messages for it that nobody took go too, and nobody will.

        Nothing happens, and the row tells why, while it is held; raises `Conflict` (AM0335) while a run of it is
        open. Of one that was erased before, what was repeated since goes as well. None if nothing knows the subject.
        """
        ...

    def scrub(self) -> None:
        """Have what was deleted or overwritten so far leave the database's files, as far as that is in our hands.

        Raises `StoreUnavailable` while others keep it from being done.
        """
        ...

    def load(self) -> dict[int, int]:
        """Open runs per shard: where a start goes when its worker has no room."""
        ...

    def open_counted(self) -> list[RunCount]:
        """Open runs by definition and status, in the order of the fields of a count."""
        ...
