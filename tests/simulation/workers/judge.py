"""What must hold for an installation of several workers, held against its store, topic and ledgers at every commit.

Each run has a `Checker` and a world of participants of its own; here is what concerns workers and the store.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.locking import may_release
from amends.coordinator.core.people import may_cancel, resolutions
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.savepoints import savepoints
from amends.coordinator.core.state import State
from amends.coordinator.core.verifying import open_verifications
from amends.coordinator.ports.rows import Batch, StoredEntry
from amends.coordinator.reading.outcomes import has_outcome, outcome_of
from amends.coordinator.runtime.runs import Run
from amends.coordinator.runtime.work import Work
from amends.schemas import events as e
from amends.schemas import wishes
from amends.schemas.canonical import encode
from amends.schemas.entry import Entry, Inline, decode
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.instants import SECOND, Instant, instant_of
from tests.simulation.checker import Checker, InvariantBroken
from tests.simulation.telling import told
from tests.simulation.workers.messages import Messages
from tests.simulation.workers.topic import Published, Topic
from tests.simulation.workers.turns import Turns
from tests.simulation.world import World

STILL_US = 700 * SECOND
"""Longer than this no run waits for anything but a person: `settle_within` is 300 s, a late attempt ends sooner."""


@dataclass(slots=True, kw_only=True)
class Judged:
    """One run as the store has it."""

    checker: Checker
    world: World
    state: State
    moved_at: Instant
    key_used_at: dict[str, Instant] = field(default_factory=dict)
    begun: set[tuple[str, str, int]] = field(default_factory=set)
    payloads: dict[Digest, bytes] = field(default_factory=dict)
    """Those that stand in the entries."""


@dataclass(slots=True, kw_only=True)
class Judge:
    """Fed by the connections and the handlers. `store` is never away."""

    store: MemoryStore
    plan: Plan
    topic: Topic
    clock: Callable[[], Instant]
    parked: Callable[[SagaId], None] = lambda _saga_id: None
    """Told of a run that waits for a person."""
    runs: dict[SagaId, Judged] = field(default_factory=dict)
    epochs: Counter[int] = field(default_factory=Counter)
    """By shard: that of the last entry."""
    consumed_wishes: set[str] = field(default_factory=set)
    turns: Turns = field(init=False)
    messages: Messages = field(init=False)
    _done: list[str] = field(default_factory=list)
    _waiting: dict[str, bytes] = field(default_factory=dict)
    """Of the inbox's rows that the batch now tried would delete, those that are there."""

    def __post_init__(self) -> None:
        self.turns = Turns(require=self.require)
        self.messages = Messages(require=self.require)

    def require(self, holds: bool, rule: str, why: str) -> None:  # noqa: FBT001  a sentence reads best this way
        """Raise `InvariantBroken` unless it holds."""
        if not holds:
            raise InvariantBroken(f"{rule}: {why}")

    # At each append

    def before(self, batch: Batch) -> None:
        inbox = self.store._tables.inbox
        self._done = [message_id for part in batch.appends for message_id in part.inbox_done]
        self._waiting = {message_id: inbox[message_id].body for message_id in self._done if message_id in inbox}

    def committed(self, batch: Batch) -> None:
        """The batch is in the store."""
        entries = [(stored, decode(stored.data)) for part in batch.appends for stored in part.entries]
        self._wishes(entries)
        for part in batch.appends:
            apart = [change.saga_id for change in part.changed if change.quarantined]
            self.require(not apart, "rule 19", f"{apart} cannot be decided on")
            if part.entries:
                self.require(part.epoch >= self.epochs[part.shard], "S16", f"an entry of epoch {part.epoch} comes late")
                self.epochs[part.shard] = part.epoch
        self.turns.committed(batch)
        self.messages.committed(batch)
        for _, entry in entries:
            self._entry(entry)
            self.messages.entry(entry)
            self.turns.entry(entry, self.runs[entry.saga_id].state)
        self.messages.heard_of(self.store)

    def fenced(self, batch: Batch, shards: tuple[int, ...]) -> None:
        """An owner is fenced by the next one, and by nothing else."""
        rows = self.store._tables.leases["worker"]
        for part in batch.appends:
            own = part.shard in shards and rows[part.shard].epoch == part.epoch
            at = rows[part.shard].position
            self.require(not own, "S16", f"the owner of shard {part.shard} appends at {part.position}, it is at {at}")

    def _entry(self, entry: Entry) -> None:
        judged, at = self.runs.get(entry.saga_id), instant_of(entry.at)
        state = judged.state if judged is not None else None
        self.require(entry.version == (state.version if state is not None else 0) + 1, "S14", "a version is missing")
        self.require(entry.previous_hash == (state.hash if state is not None else ""), "S14", "the chain is broken")
        state = fold_entry(state, entry)
        if judged is None:
            payloads: dict[Digest, bytes] = {}
            checker, world = Checker(plan=self.plan, payload=payloads.get), World(plan=self.plan)
            judged = Judged(checker=checker, world=world, state=state, moved_at=at, payloads=payloads)
            self.runs[entry.saga_id] = judged
        for digest, payload in entry.payloads.items():
            if isinstance(payload, Inline):
                judged.payloads[digest] = payload.inline.encode()
        judged.checker.entry(entry)
        if has_outcome(entry.events):
            judged.checker.outcome(outcome_of(state, judged.payloads.get), entry)
        judged.checker.against(judged.world, entry, state)
        judged.state, judged.moved_at = state, max(judged.moved_at, self.clock())
        for event in entry.events:
            if isinstance(event, e.StepRequested | e.UndoRequested) and event.idempotency_key is not None:
                judged.key_used_at.setdefault(event.idempotency_key, at)
        if state.status == "parked":
            self.parked(entry.saga_id)

    def _wishes(self, entries: list[tuple[StoredEntry, Entry]]) -> None:
        """A person's decision is taken once, and not passed over where it still fits."""
        causes = [entry.causation_id or "" for _, entry in entries]
        for message_id in self._done if entries else ():  # A batch without entries may have to be done twice.
            self.require(message_id in self._waiting, "S18", f"{message_id} is taken a second time")
        for cause in causes:
            if cause.startswith("wish:"):
                self.require(cause not in self.consumed_wishes, "S18", f"{cause} is taken a second time")
                self.consumed_wishes.add(cause)
        moved = {entry.saga_id for _, entry in entries}
        for message_id, body in self._waiting.items():
            wish = wishes.read(body)
            if (
                isinstance(wish, wishes.Cancel | wishes.Kill | wishes.Resolve | wishes.UndoTo | wishes.Grant)
                and message_id not in causes
                and wish.saga_id not in moved
            ):
                self.require(not self._fits(wish), "S18", f"{message_id} is deleted and nothing came of it")

    def _fits(self, wish: wishes.Wish) -> bool:
        judged = None if isinstance(wish, wishes.Start) else self.runs.get(wish.saga_id)
        if judged is None:
            return False
        match wish:
            case wishes.Grant():
                return judged.state.status == "queued"
            case wishes.Release(key=key):
                return may_release(judged.state, key) is None
            case wishes.Cancel():
                return may_cancel(self.plan, judged.state) is None
            case wishes.Kill():
                return not judged.state.closed
            case wishes.UndoTo(step=step):
                return step in savepoints(self.plan, judged.state)
            case wishes.Resolve(step=step, resolution=resolution):
                parked = judged.state.parked
                return parked is not None and parked.step == step and resolution in resolutions(self.plan, judged.state)
        raise AssertionError(f"nobody wishes {wish} here")

    # When handlers begin

    def begins(self, work: Work) -> None:
        """An attempt is handed to its handler: it stands in the log, and it is the first time."""
        path, direction, role, number = work.identity
        if role not in {"step", "undo"}:
            return
        judged = self.runs.get(work.saga_id)
        known = {each[:3] for each in judged.checker.intents} if judged is not None else set()
        attempt = (path, direction, number)
        self.require(attempt in known, "S3", f"attempt {attempt} begins and is not in the log")
        assert judged is not None, "it is known"
        self.require(attempt not in judged.begun, "S4", f"attempt {attempt} begins a second time")
        judged.begun.add(attempt)

    def sends(self, work: Work) -> None:
        """A request goes out under the epoch of its shard, or a later owner may settle what is not yet sent."""
        row = self.store.run(work.saga_id)
        assert row is not None, "it has begun"
        epoch = self.store._tables.leases["worker"][row.shard].epoch
        own = work.attempt.epoch
        self.require(own == epoch, "S16", f"{work.identity} is sent under epoch {own}, shard {row.shard} is at {epoch}")

    # When offsets are committed

    def accounted_for(self, partition: int, below: int) -> None:
        """Everything below this offset is a run, a repetition, a dead letter or on its way to its owner."""
        for each in self.topic.partitions[partition].records[:below]:
            self.require(self._is_accounted_for(each), "S2", f"the offset {below} is committed, {each.record} is lost")

    def _is_accounted_for(self, published: Published) -> bool:
        place = (published.record.topic, published.record.partition, published.record.offset)
        if published.saga_id is None:
            return bool(self.store.dead_letters_at(*place))
        row = self.store.run(published.saga_id)
        if row is None:
            handed_on = (wishes.read(each.body) for each in self.store._tables.inbox.values())
            return any(_origin(wish) == place for wish in handed_on)
        first = row.origins[0]
        if self.topic.at(first.partition, first.offset).dice != published.dice:
            return bool(self.store.dead_letters_at(*place)) or self._still_handed_on(place)
        known = {(origin.topic, origin.partition, origin.offset) for origin in row.origins}
        return place in known or len(row.origins) >= 5 or self._still_handed_on(place)

    def _still_handed_on(self, place: tuple[str, int, int]) -> bool:
        return any(_origin(wishes.read(each.body)) == place for each in self.store._tables.inbox.values())

    # Now and then

    def remembers(self, run: Run, epoch: int) -> None:
        """What a run's owner has in memory of it, with nothing under way, is what the store has (S15)."""
        if self.store._tables.leases["worker"][run.shard].epoch != epoch:
            return  # The next owner may have gone on; this one has not heard of it.
        judged = self.runs.get(run.saga_id)
        same = judged is not None and encode(judged.state) == encode(run.state)
        self.require(same, "S15", f"version {run.state.version} of {run.saga_id} in memory is not the store's")

    def moves(self, since: Instant) -> None:
        """In calm weather every open run moves, or waits for a person (L1)."""
        for saga_id, judged in self.runs.items():
            if judged.state.closed or judged.state.status == "parked" or self.turns.waits(saga_id):
                continue
            still = self.clock() - max(judged.moved_at, since)
            story = [told(event) for event in judged.checker.events[-6:]]
            self.require(still < STILL_US, "L1", f"{saga_id} is {judged.state.status} and stands still after {story}")

    @property
    def over(self) -> bool:
        """Whether every record is accounted for and read, every run has ended, and nobody waits to be heard."""
        return (
            all(partition.committed == len(partition.records) for partition in self.topic.partitions)
            and all(judged.state.closed and not open_verifications(judged.state) for judged in self.runs.values())
            and not self.store._tables.inbox
        )

    def finish(self) -> None:
        """Hold every run against its participants' ledger, and the runs against the requests."""
        for number, partition in enumerate(self.topic.partitions):
            self.accounted_for(number, len(partition.records))
        self.require(not self.store.locks(), "rule 16", "locks are left when every run has ended")
        self.messages.finish(self.store)
        for judged in self.runs.values():
            judged.checker.finish(judged.world)
            row = self.store.run(judged.state.saga_id)
            says_so = row is not None and (row.status, row.version) == (judged.state.status, judged.state.version)
            self.require(says_so, "S11", f"the row {row} does not say how {judged.state.saga_id} ended")


def _origin(wish: wishes.Wish) -> tuple[str, int, int] | None:
    if not isinstance(wish, wishes.Start) or wish.origin is None:
        return None
    return wish.origin.topic, wish.origin.partition, wish.origin.offset
