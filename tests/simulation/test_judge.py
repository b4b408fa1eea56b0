"""The judge of workers can be trusted: a runtime with a seeded bug breaks an invariant in the stories of CI."""

from collections.abc import Callable, Iterator, Mapping
from math import inf
from random import Random
from typing import Any, Final

import pytest

from amends.connectors.stores.grants import grant
from amends.connectors.stores.memory.locks import Locks
from amends.connectors.stores.memory.log import Log
from amends.connectors.stores.memory.messages import Messages
from amends.connectors.stores.messages import delivery
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import AwaitedRow, MessageRow
from amends.coordinator.runtime import batching
from amends.coordinator.runtime.batching import Decision, OpenBatch
from amends.coordinator.runtime.carrying_out import CarryingOut
from amends.coordinator.runtime.deciding import Deciding
from amends.coordinator.runtime.engine import Engine
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.intake import Intake
from amends.coordinator.runtime.ownership import Ownership
from amends.coordinator.runtime.resuming import Resuming
from amends.coordinator.runtime.runs import Run
from amends.coordinator.runtime.wishing import Wishing
from amends.schemas.instants import Instant
from tests.simulation.checker import InvariantBroken
from tests.simulation.test_workers import STORIES, workers_story

Seed = Callable[[pytest.MonkeyPatch], None]


def nothing(*_arguments: object, **_named: object) -> None:
    """What a forgotten line does."""


def forgotten(place: type, name: str) -> Seed:
    """A method that does nothing."""
    return lambda patch: patch.setattr(place, name, nothing)


def never(value: object) -> property:
    """A field that is always as at the beginning."""
    return property(lambda _self: value, nothing)


def attempts_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Run, "begun", property(lambda _self: set(), nothing))
    patch.setattr(Run, "uncommitted", never(0))


def before_writing(first: Callable[[Engine, OpenBatch, Instant], None]) -> Seed:
    write = Engine._write

    def early(engine: Engine, batch: OpenBatch, now: Instant) -> None:
        first(engine, batch, now)
        write(engine, batch, now)

    return lambda patch: patch.setattr(Engine, "_write", early)


def carry_out(engine: Engine, batch: OpenBatch, now: Instant) -> None:
    for decided in batch.decided:
        engine._carrying_out.carry_out(decided, now)


def consume(engine: Engine, batch: OpenBatch, _now: Instant) -> None:
    engine.consumed(batch.consumed)


def prepared_is_lost(patch: pytest.MonkeyPatch) -> None:
    failed = Engine._failed

    def lossy(engine: Engine, batch: OpenBatch, error: Exception) -> None:
        engine._prepared = None
        failed(engine, batch, error)

    patch.setattr(Engine, "_failed", lossy)


def any_epoch_will_do(patch: pytest.MonkeyPatch) -> None:
    left_s = Ownership.left_s
    patch.setattr(Ownership, "left_s", lambda self, shard, _epoch: left_s(self, shard, self.epoch_of(shard)))


def deletions_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    done = Wishing.done

    def forgetful(wishing: Wishing, item: Item) -> None:
        done(wishing, item)
        wishing._deleted.clear()

    patch.setattr(Wishing, "done", forgetful)


def unread_shards_are_empty(patch: pytest.MonkeyPatch) -> None:
    begin = Resuming.begin

    def careless(resuming: Resuming, *arguments: Any) -> int:
        try:
            return begin(resuming, *arguments)
        except StoreUnavailable:
            return 0

    patch.setattr(Resuming, "begin", careless)


def messages_are_lost(patch: pytest.MonkeyPatch) -> None:
    decide_item = Deciding._decide_item

    def careless(deciding: Deciding, batch: OpenBatch, item: Item, now: Instant) -> Decision | None:
        try:
            return decide_item(deciding, batch, item, now)
        except StoreUnavailable:
            return None

    patch.setattr(Deciding, "_decide_item", careless)


def records_are_lost(patch: pytest.MonkeyPatch) -> None:
    take = Intake.take

    def careless(intake: Intake, *arguments: Any) -> Iterator[Any]:
        try:
            yield from take(intake, *arguments)
        except StoreUnavailable:
            return

    patch.setattr(Intake, "take", careless)


def locks_are_given_to_all(patch: pytest.MonkeyPatch) -> None:
    def careless(locks: Locks, key: str, _at: Instant) -> None:
        for row in [row for row in locks._tables.locks.values() if row.key == key and row.held_since is None]:
            told = grant(row)
            locks._tables.inbox.setdefault(told.message_id, told)

    patch.setattr(Locks, "_hand_on", careless)


def messages_come_to_all(patch: pytest.MonkeyPatch) -> None:
    take = Messages._take

    def careless(messages: Messages, message: MessageRow, awaited: AwaitedRow) -> None:
        take(messages, message, awaited)
        for other in [*messages._tables.awaited.values()]:
            if (other.correlation_key, other.type) == (awaited.correlation_key, awaited.type):
                told = delivery(message, other)
                messages._tables.inbox.setdefault(told.message_id, told)

    patch.setattr(Messages, "_take", careless)


def ended_runs_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    sleeps = CarryingOut.sleeps
    patch.setattr(CarryingOut, "sleeps", lambda self, run: not run.state.closed and sleeps(self, run))


BUGS: Final[Mapping[str, tuple[Seed, str]]] = {
    "a lock is given to all who want it": (locks_are_given_to_all, "rule 16"),
    "a step begins again whose reply is being written": (attempts_are_forgotten, "S4|S14"),
    "steps begin before their commit": (before_writing(carry_out), "S3"),
    "offsets are given back before their commit": (before_writing(consume), "S2"),
    "what failed stays in memory": (forgotten(OpenBatch, "take_back"), "S2|S14|S15|S16|L1"),
    "what was prepared is lost when the batch before it fails": (prepared_is_lost, "S2|S15|S16|L1"),
    "what failed is not offered again": (forgotten(Deciding, "offer_again"), "S2|L1"),
    "an attempt of a former lease may send": (any_epoch_will_do, "S16"),
    "an attempt does not look at its lease": (
        lambda patch: patch.setattr(Ownership, "left_s", lambda *_: inf),
        "S16",
    ),
    "the store looks at no epoch": (forgotten(Log, "_check"), "S14|S16|S18"),
    "a wish is taken from a reading that is out of date": (deletions_are_forgotten, "S18"),
    "a shard that cannot be read is taken for empty": (unread_shards_are_empty, "L1|S4"),
    "messages are lost while the store is away": (messages_are_lost, "L1|S18"),
    "a message that came too late is not given back": (forgotten(OpenBatch, "give_back"), "L1"),
    "who waits is not noted": (lambda patch: patch.setattr(batching, "_note_waits", nothing), "L1"),
    "a message is brought to all who wait for it": (messages_come_to_all, "L1|S18"),
    "nobody listens any more for an answer that says nothing yet": (forgotten(OpenBatch, "listen_again"), "L1"),
    "an ended run is forgotten before it is read back": (ended_runs_are_forgotten, "L1"),
    "records are lost while the store is away": (records_are_lost, "S2"),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_seeded_into_the_runtime_breaks_its_invariant(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seed, rules = BUGS[bug]
    seed(monkeypatch)
    with pytest.raises(InvariantBroken, match=rf"^({rules}):"):
        play()


def play() -> None:
    for number in range(STORIES):
        workers_story(Random(number)).to_the_end()
