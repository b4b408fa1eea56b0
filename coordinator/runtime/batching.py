"""A batch in the making: decisions of many runs that become visible in one transaction, or not at all.

States are frozen, so a batch that fails is taken back by putting the former states back in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from amends.coordinator.core.commands import Command, commands, due_after, next_due
from amends.coordinator.core.evolve import sealed
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import open_waits
from amends.coordinator.ports.rows import (
    ANSWER,
    AwaitedRow,
    Batch,
    DeadLetterRow,
    Duplicate,
    InboxRow,
    Lease,
    LocksLeft,
    LocksWanted,
    MessageRow,
    RunChange,
    RunRow,
    ShardAppend,
    StoredEntry,
)
from amends.coordinator.runtime.inbound import Inbound, Item
from amends.coordinator.runtime.intake import Taken
from amends.coordinator.runtime.locking import lock_changes
from amends.coordinator.runtime.run_rows import awaited_row, change_of, row_of, waiting_for_of
from amends.coordinator.runtime.runs import Run
from amends.coordinator.sealing.keys import Seal
from amends.schemas.chain import next_head
from amends.schemas.entry import ENTRY_BYTES_MAX, EXTERNAL_BYTES, Draft, External, Inline, Payload, Sealed, seal
from amends.schemas.events import Digest, Event
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant, text_of

DECISIONS_MAX = 128
BATCH_BYTES_MAX = 256 * 1024


@dataclass(slots=True, kw_only=True)
class OwnedShard:
    """A shard in memory: what the next compare-and-set expects."""

    shard: int
    epoch: int
    position: int
    head: str
    yielding: bool = False
    open_runs: int = 0
    """Runs here that have not ended: the next start goes where they are fewest."""

    @classmethod
    def of(cls, lease: Lease) -> "OwnedShard":
        """A shard as it was leased."""
        return cls(shard=lease.shard, epoch=lease.epoch, position=lease.position, head=lease.head)


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: the run before and what is to be done once it is committed."""

    run: Run
    before: State | None
    commands: tuple[Command, ...]

    @classmethod
    def of(cls, run: Run, now: Instant) -> "Decided":
        """What the run's state asks for, where nothing new was decided."""
        return cls(run=run, before=run.state, commands=commands(run.plan, run.state, now))


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a message leads to, before it is an entry: events, and the state after them."""

    run: Run
    shard: OwnedShard
    item: Item
    taken: Taken | None
    """What the item was made of, where it begins the run."""
    events: tuple[Event, ...]
    state: State


class Writer(Protocol):
    """Appends batches; answers with `Committed` or `AppendFailed`, waits out an absent store."""

    def write(self, batch: "OpenBatch", rows: Batch, *, at_once: bool) -> Inbound | None:
        """Append on a thread of its own and answer through the queue, or, if it may be `at_once`, here and now."""
        ...


@dataclass(slots=True)
class _ShardPart:
    """What a batch appends to one shard."""

    position: int
    head: str
    open_runs: int
    head_after: str
    entries: list[StoredEntry] = field(default_factory=list)
    started: list[RunRow] = field(default_factory=list)
    changed: dict[str, RunChange] = field(default_factory=dict)
    inbox_done: list[str] = field(default_factory=list)
    awaited: dict[tuple[SagaId, str], AwaitedRow] = field(default_factory=dict)
    not_awaited: list[tuple[SagaId, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    given_back: list[MessageRow] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class OpenBatch:
    """One batch, from its first decision to its commit."""

    causes: list[Inbound] = field(default_factory=list)
    """What it was made from, to be offered again if it fails."""
    decided: list[Decided] = field(default_factory=list)
    dead_letters: list[DeadLetterRow] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    handed_on: list[InboxRow] = field(default_factory=list)
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    consumed: dict[tuple[str, int], int] = field(default_factory=dict)
    """Next offsets by topic and partition, to be committed on the bus afterwards."""
    quarantined: list[SagaId] = field(default_factory=list)
    sealed: list[tuple[str, SagaId]] = field(default_factory=list)
    """Runs that begin sealed, each after the id of its key."""
    locks: list[LocksWanted | LocksLeft] = field(default_factory=list)
    """Places in the rows of lock keys that are taken or given up."""
    size_bytes: int = 0
    ended: int = 0
    """Runs that end with it: they want nothing more of a worker, so others may take their places."""
    ended_before: int = 0
    """Runs that end with the batch before it, as long as that is being written."""
    _parts: dict[int, _ShardPart] = field(default_factory=dict)
    _shards: dict[int, OwnedShard] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit, in the store or on the bus."""
        return not (self.decided or self.dead_letters or self.duplicates or self.handed_on or self._parts)

    @property
    def count(self) -> int:
        """Decisions, and records that were decided otherwise: each costs the store about as much as a decision."""
        return len(self.decided) + len(self.dead_letters) + len(self.duplicates) + len(self.handed_on)

    @property
    def room(self) -> tuple[int, int]:
        """How many more decisions it takes, and how many more bytes."""
        return DECISIONS_MAX - self.count, BATCH_BYTES_MAX - self.size_bytes

    @property
    def full(self) -> bool:
        """Whether further decisions belong to the next batch."""
        return min(self.room) <= 0

    def refuse(self, letter: DeadLetterRow) -> None:
        """Keep a record that begins no run."""
        self.dead_letters.append(letter)
        self.size_bytes += len(letter.value or b"")

    def dismiss(self, saga_id: SagaId) -> None:
        """Count nothing on a run that does not come about: its request is a dead letter."""
        self.duplicates = [duplicate for duplicate in self.duplicates if duplicate.saga_id != saga_id]

    def inbox_done(self, shard: OwnedShard, message_id: str) -> None:
        """Delete the row in the transaction that appends what it caused."""
        self._part(shard).inbox_done.append(message_id)

    def give_back(self, shard: OwnedShard, message: MessageRow) -> None:
        """Let others have a message that the run does not wait for any more."""
        self._part(shard).given_back.append(message)

    def wait_on(self, shard: OwnedShard, message_id: str, awaited: AwaitedRow) -> None:
        """Have the run wait for another message: this one is a dead letter."""
        part = self._part(shard)
        part.refused.append(message_id)
        part.awaited[awaited.saga_id, awaited.path] = awaited

    def listen_again(self, shard: OwnedShard, awaited: AwaitedRow) -> None:
        """Have the run go on waiting for an answer: this one says nothing yet."""
        self._part(shard).awaited[awaited.saga_id, awaited.path] = awaited

    def quarantine(self, shard: OwnedShard, change: RunChange) -> None:
        """Mark a run whose fold or decision raised; nothing is appended to it (rule 19)."""
        self._part(shard).changed[change.saga_id] = change
        self.quarantined.append(change.saga_id)

    def tell(self, shard: OwnedShard, run: Run, now: Instant) -> None:
        """Correct what the run's row says it waits for, where nothing is appended (rule 14)."""
        waiting_for = waiting_for_of(run.plan, run.state, now)
        if waiting_for != run.told:
            self._part(shard).changed[run.saga_id] = change_of(run.state, run.due, waiting_for=waiting_for)

    def append(self, decision: Decision, *, now: int, build: str) -> None:
        """Seal one decision into an entry and advance the run and the shard in memory."""
        run, shard, item, state = decision.run, decision.shard, decision.item, decision.state
        before = run.state if run.state.version else None
        part, version, at = self._part(shard), run.state.version + 1, max(now, run.state.at)
        payloads = self._payloads(item.payloads, run.seal)
        data, entry_hash = seal(self._draft(shard, run.state, item, decision.events, payloads, at=at, build=build))
        state = sealed(state, version=version, at=at, entry_hash=entry_hash)
        due, wanted = due_after(run.plan, state, decision.events), commands(run.plan, state, now)
        waiting_for = waiting_for_of(run.plan, state, now)  # What can raise has been done now.
        shard.position += 1
        shard.head = part.head_after = next_head(shard.head, entry_hash)
        part.entries.append(
            StoredEntry(saga_id=run.saga_id, version=version, shard=shard.shard, position=shard.position, data=data)
        )
        self.size_bytes += len(data)
        if run.plan.waits:
            _note_waits(part, run, before, state)
        run.state, run.due = state, due
        shard.open_runs += (before is None) - (state.closed and (before is None or not before.closed))
        self.ended += state.closed and (before is None or not before.closed)
        if before is None:
            part.started.append(row_of(run, waiting_for))
            if run.seal is not None:
                self.sealed.append((run.seal.key.key_id, run.saga_id))
        else:
            part.changed[run.saga_id] = change_of(state, due, waiting_for=waiting_for)
        if run.plan.form.locks:
            self.locks += lock_changes(state, decision.events, shard=shard.shard)
        self.decided.append(Decided(run=run, before=before, commands=wanted))

    def rows(self) -> Batch:
        """What the store is given."""
        return Batch(
            appends=tuple(self._append_of(number, part) for number, part in self._parts.items()),
            inbox=tuple(self.handed_on),
            dead_letters=tuple(self.dead_letters),
            duplicates=tuple(self.duplicates),
            blobs=tuple(self.blobs.items()),
            sealed=tuple(self.sealed),
            locks=tuple(self.locks),
        )

    def take_back(self, runs: dict[SagaId, Run]) -> None:
        """Put runs and shards back to where they were before this batch; what it began is no run any more."""
        for decided in reversed(self.decided):
            if decided.before is None:
                runs.pop(decided.run.saga_id, None)
            else:
                decided.run.uncommitted -= 1
                decided.run.state = decided.before
                decided.run.due = next_due(decided.run.plan, decided.before)
        for number, part in self._parts.items():
            shard = self._shards[number]
            shard.position, shard.head, shard.open_runs = part.position, part.head, part.open_runs

    def _part(self, shard: OwnedShard) -> _ShardPart:
        part = self._parts.get(shard.shard)
        if part is None:
            part = self._parts[shard.shard] = _ShardPart(shard.position, shard.head, shard.open_runs, shard.head)
            self._shards[shard.shard] = shard
        return part

    def _append_of(self, number: int, part: _ShardPart) -> ShardAppend:
        shard = self._shards[number]
        return ShardAppend(
            shard=number,
            epoch=shard.epoch,
            position=part.position,
            head=part.head_after,
            entries=tuple(part.entries),
            started=tuple(part.started),
            changed=tuple(part.changed.values()),
            inbox_done=tuple(part.inbox_done),
            awaited=tuple(part.awaited.values()),
            not_awaited=tuple(part.not_awaited),
            refused=tuple(part.refused),
            given_back=tuple(part.given_back),
        )

    def _draft(
        self,
        shard: OwnedShard,
        state: State,
        item: Item,
        events: tuple[Event, ...],
        payloads: Mapping[Digest, Payload],
        *,
        at: int,
        build: str,
    ) -> Draft:
        return Draft(
            namespace=state.namespace,
            saga_id=state.saga_id,
            saga=state.saga,
            definition_version=state.definition_version,
            definition_hash=state.definition_hash,
            version=state.version + 1,
            at=text_of(at),
            cause=item.cause,
            causation_id=item.causation_id,
            correlation_id=state.saga_id,
            actor=item.actor,
            epoch=shard.epoch,
            build=build,
            events=events,
            payloads=payloads,
            previous_hash=state.hash,
        )

    def _payloads(self, values: Mapping[Digest, bytes], sealing: Seal | None) -> dict[Digest, Payload]:
        """Small values stand in the entry, large ones beside it; together they never exceed the entry's limit."""
        if not values:
            return {}
        within = _inline if sealing is None else _sealed
        if sealing is not None:
            values = {digest: sealing.payload(digest, value).encode() for digest, value in values.items()}
        if sum(map(len, values.values())) <= EXTERNAL_BYTES:
            return {digest: within(value) for digest, value in values.items()}
        inline_bytes = sum(len(value) for value in values.values() if len(value) <= EXTERNAL_BYTES)
        found: dict[Digest, Payload] = {}
        for digest, value in sorted(values.items(), key=lambda pair: -len(pair[1])):
            small = len(value) <= EXTERNAL_BYTES
            if not small or inline_bytes > ENTRY_BYTES_MAX // 2:
                inline_bytes -= len(value) if small else 0
                self.blobs[digest] = value
                self.size_bytes += len(value)
                found[digest] = External(external=len(value))
            else:
                found[digest] = within(value)
        return found


def _inline(value: bytes, /) -> Payload:
    return Inline(inline=value.decode())


def _sealed(text: bytes, /) -> Payload:
    return Sealed(sealed=text.decode())


def _note_waits(part: _ShardPart, run: Run, before: State | None, after: State) -> None:
    """Which waits for messages begin and end with an entry."""
    were, are = open_waits(before) if before is not None else {}, open_waits(after)
    kept = {path for path in were.keys() & are.keys() if were[path] == are[path]}
    for path in were.keys() - kept:
        part.awaited.pop((run.saga_id, path), None)
        part.not_awaited.append((run.saga_id, path))
    for path in are.keys() - kept:
        awaited = are[path]
        kind = ANSWER if awaited.awaits == "answer" else awaited.message_type
        assert awaited.correlation is not None, "a message has a key"
        assert kind is not None, "and a type"
        part.awaited[run.saga_id, path] = awaited_row(run, path, awaited.correlation, kind)
