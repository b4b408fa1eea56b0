"""The tables of the in-memory store, and the one lock that stands for its transactions."""

import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import msgspec

from amends.coordinator.ports.rows import (
    ArchivedRow,
    AwaitedRow,
    DeadLetterRow,
    DefinitionRow,
    InboxRow,
    LocalRecord,
    LockRow,
    MessageRow,
    RelayWait,
    RunRow,
    StoredEntry,
    SubjectRow,
)
from amends.coordinator.ports.store import Role
from amends.schemas.events import Digest, Origin
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


class LeaseState:
    """A lease row; of role `worker` it is the shard itself."""

    __slots__ = ("clean", "epoch", "expires_at", "head", "owner", "position")

    def __init__(self) -> None:
        self.owner: str | None = None
        self.epoch = 0
        self.expires_at: Instant | None = None
        self.position = 0
        self.head = ""
        self.clean = True


class Tables:
    """Every method of the store holds `lock` from its first look to its last change."""

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self.lock: Final = threading.RLock()
        self.clock: Final = clock
        self.mark = 0
        self.incarnation: Final = str(uuid.uuid4())
        self.leases: dict[Role, dict[int, LeaseState]] = {"worker": {}, "relay": {}, "bus": {}}
        self.workers: dict[tuple[Role, str], Instant] = {}
        self.by_run: defaultdict[SagaId, list[StoredEntry]] = defaultdict(list)
        self.by_shard: defaultdict[int, list[StoredEntry]] = defaultdict(list)
        self.runs: dict[SagaId, RunRow] = {}
        self.origins: defaultdict[Origin, set[SagaId]] = defaultdict(set)
        self.inbox: dict[str, InboxRow] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.definitions: dict[str, DefinitionRow] = {}
        self.dead_letters: list[DeadLetterRow] = []
        self.dead_letters_relayed = 0
        self.relay_waits: dict[int, RelayWait] = {}
        self.topics: defaultdict[str, list[LocalRecord]] = defaultdict(list)
        self.consumers: dict[tuple[str, str], int] = {}
        self.messages: dict[str, MessageRow] = {}
        self.message_number = 0
        self.awaited: dict[tuple[SagaId, str], AwaitedRow] = {}
        self.archived: list[ArchivedRow] = []
        self.locks: dict[tuple[str, SagaId], LockRow] = {}
        self.lock_place = 0
        self.subjects: dict[str, SubjectRow] = {}
        self.subject_runs: defaultdict[str, set[SagaId]] = defaultdict(set)


class Part:
    """What the parts of the store share."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def _put_dead_letter(self, letter: DeadLetterRow) -> None:
        """Keep it once; under the lock."""
        letters = self._tables.dead_letters
        if all(_same_record(known) != _same_record(letter) for known in letters):
            letters.append(msgspec.structs.replace(letter, n=len(letters) + 1))


def _same_record(letter: DeadLetterRow) -> tuple[object, ...]:
    """What makes two dead letters one: the record, read again, and the saga that refused it."""
    at = (letter.topic, letter.partition, letter.offset, letter.saga)
    return (*at, letter.size_bytes, letter.key or b"", letter.value or b"")
