"""`runs rerun`: the next generation of a request, on every store, whoever races for it and wherever the worker dies."""

from collections.abc import Sequence
from typing import Any, Final

import pytest
from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.core.evolve import fold
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.ports.store import Store
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.replies import Reply, fails, ok
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.entry import Entry, decode
from amends.schemas.events import Origin, RerunStarted, SagaStarted
from amends.schemas.ids import SagaId, saga_id_of
from tests.contract.stores.test_forgetting import FIRST, generations, published, reasons, redelivered, remembering
from tests.unit.runtime.sagas import Done, order_saga

WHY: Final = "the truck is mended"


def installed(store: Store, **replies: Reply | Sequence[Reply]) -> World:
    return World(store, remembering(None), clock=Clock(), replies=replies)


def id_of(generation: int) -> SagaId:
    return saga_id_of(namespace="test", saga="order", idempotency_key="A-1", generation=generation)


def wish(generation: int, message_id: str, *, actor: str = "kim", shard: int = 0) -> InboxRow:
    """Somebody wants the request run again, after this generation of it."""
    body = wishes.write(wishes.Rerun(actor=actor, saga_id=id_of(generation), reason=WHY))
    return InboxRow(shard=shard, message_id=message_id, body=body)


def rerun(installation: World, *rows: InboxRow) -> None:
    installation.store.put_inbox(rows)
    taken_over(installation)


def taken_over(installation: World) -> None:
    """A worker gains its shards, then reads their inboxes."""
    installation.run()
    installation.take_inbox()
    installation.run()


def dead(installation: World) -> None:
    """The worker is no more, and its leases have run out."""
    store = installation.store
    for row in store.shards():
        if row.owner is not None:
            store.release("worker", row.owner, [row.shard], clean=False)


def entries(store: Store, saga_id: SagaId) -> list[Entry]:
    return [decode(stored.data) for stored in store.entries_of(saga_id)]


def of_all_shards(store: Store) -> list[InboxRow]:
    return [row for shard in store.shards() for row in store.inbox(shard.shard)]


@pytest.fixture
def ended(store: Store) -> World:
    """The request failed and was undone; it would succeed now."""
    installation = installed(store, charge=[fails("no truck"), ok(Done(key="ch_2"))])
    published(installation, FIRST)
    assert generations(store) == [(0, "compensated", 0)]
    return installation


def test_a_run_that_has_ended_is_run_again_as_the_next_generation(store: Store, ended: World) -> None:
    rerun(ended, wish(0, "w-1"))
    assert generations(store) == [(0, "compensated", 0), (1, "completed", 0)]
    assert of_all_shards(store) == []


def test_the_log_of_the_new_run_says_who_wanted_it_why_and_of_what_it_is_the_next(store: Store, ended: World) -> None:
    rerun(ended, wish(0, "w-1"))
    former, first = entries(store, id_of(0))[0], entries(store, id_of(1))[0]
    began, again = first.events[0], first.events[1]
    assert (first.cause, first.causation_id, first.actor) == ("rerun", "w-1", "kim")
    assert again == RerunStarted(former=id_of(0), reason=WHY)
    assert isinstance(began, SagaStarted)
    assert isinstance(former.events[0], SagaStarted)
    assert (began.generation, began.trigger, began.origin) == (1, former.events[0].trigger, former.events[0].origin)
    assert first.payloads == former.payloads


def test_a_rerun_has_effect_keys_of_its_own(store: Store, ended: World) -> None:
    rerun(ended, wish(0, "w-1"))
    keys = [fold(entries(store, id_of(generation))).effect("charge", "forward").key for generation in (0, 1)]
    assert None not in keys
    assert keys[0] != keys[1]


def test_a_rerun_is_rerun_as_the_generation_after_it(store: Store, ended: World) -> None:
    rerun(ended, wish(0, "w-1"))
    rerun(ended, wish(1, "w-2"))
    assert [row[:2] for row in generations(store)] == [(0, "compensated"), (1, "completed"), (2, "completed")]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
def test_of_two_reruns_of_one_run_one_begins(store: Store, ended: World, *, together: bool) -> None:
    rows = [wish(0, "w-1", actor="kim"), wish(0, "w-2", actor="ines")]
    for each in [rows] if together else [[row] for row in rows]:
        rerun(ended, *each)
    assert [row[:2] for row in generations(store)] == [(0, "compensated"), (1, "completed")]
    assert entries(store, id_of(1))[0].actor == "kim"
    assert of_all_shards(store) == []


def test_a_run_that_is_parked_is_not_rerun(store: Store) -> None:
    replies = {"b": fails("no truck"), "a.undo": fails("the ledger is closed")}
    installation = World(store, order_saga(), clock=Clock(), replies=replies)
    published(installation, FIRST)
    rerun(installation, wish(0, "w-1"))
    assert [row[:2] for row in generations(store)] == [(0, "parked")]
    assert of_all_shards(store) == []


def test_a_run_that_does_not_exist_is_not_rerun(store: Store) -> None:
    installation = installed(store)
    rerun(installation, wish(0, "w-1"))
    assert (generations(store), of_all_shards(store)) == ([], [])


def test_a_record_of_the_request_is_counted_on_its_first_generation(store: Store, ended: World) -> None:
    rerun(ended, wish(0, "w-1"))
    published(ended, FIRST)
    assert generations(store) == [(0, "compensated", 1), (1, "completed", 0)]
    assert reasons(store) == []


def test_the_record_that_was_rerun_is_nothing_new_when_it_is_read_again(store: Store, ended: World) -> None:
    rerun(ended, wish(0, "w-1"))
    redelivered(ended, 0)
    assert generations(store) == [(0, "compensated", 0), (1, "completed", 0)]
    found = store.runs_by_origin("orders", 0, 0)
    assert {row.generation for row in found} == {0, 1}


def test_the_place_of_the_trigger_is_that_of_the_former_run(store: Store, ended: World) -> None:
    rerun(ended, wish(0, "w-1"))
    row = store.run(id_of(1))
    assert row is not None
    assert row.origins == (Origin(topic="orders", partition=0, offset=0),)


def test_a_worker_that_dies_before_it_takes_the_wish_leaves_it_to_the_next(store: Store, ended: World) -> None:
    store.put_inbox([wish(0, "w-1")])
    ended.take_inbox()
    dead(ended)
    ended.crash()
    assert [row[:2] for row in generations(store)] == [(0, "compensated")]
    taken_over(ended)
    assert [row[:2] for row in generations(store)] == [(0, "compensated"), (1, "completed")]


def test_a_worker_that_dies_in_the_rerun_is_succeeded_by_one_that_goes_on(store: Store) -> None:
    installation = installed(store, charge=[fails("no truck"), Reply(after_ms=5_000, value=Done(key="late"))])
    published(installation, FIRST)
    store.put_inbox([wish(0, "w-1")])
    installation.take_inbox()
    installation.run(until=installation.clock.now + 1_000)
    dead(installation)
    installation.crash()
    taken_over(installation)
    assert [row[:2] for row in generations(store)] == [(0, "compensated"), (1, "completed")]
    assert of_all_shards(store) == []


class Demanding(BaseModel):
    """A trigger of today: a field is required that was not there."""

    id: str
    customer: str


def newer(model: type[Any], *, name: str = "order") -> Saga[Any]:
    saga = Saga(name, version=2, trigger=Topic("orders", model, idempotency_key="id"))

    @saga.action(idempotent=True)
    async def ship(ctx: Context) -> Done:
        return Done(key=ctx.idempotency_key)

    @ship.undo(verify="reply")
    async def take_back(ctx: Context) -> None: ...

    return saga


class Lenient(BaseModel):
    """The same with a default."""

    id: str
    customer: str = "unknown"


def test_the_new_run_takes_the_newest_version_that_the_worker_has(store: Store, ended: World) -> None:
    dead(ended)
    installation = World(store, remembering(None), newer(Lenient), clock=ended.clock)
    rerun(installation, wish(0, "w-1"))
    assert [(row.generation, row.definition_version) for row in store.runs_by_key("order", "A-1")] == [(1, 2), (0, 1)]


@pytest.mark.parametrize(
    ("saga", "left"),
    [
        pytest.param(newer(Demanding), [], id="a trigger that does not fit today's model is refused"),
        pytest.param(newer(Lenient, name="other"), ["w-1"], id="of a saga that it has not, the wish is left to others"),
    ],
)
def test_a_worker_begins_nothing_that_it_cannot(store: Store, ended: World, saga: Saga[Any], left: list[str]) -> None:
    dead(ended)
    installation = World(store, saga, clock=ended.clock)
    rerun(installation, wish(0, "w-1"))
    assert [row[:2] for row in generations(store)] == [(0, "compensated")]
    assert [row.message_id for row in of_all_shards(store)] == left


def test_a_wish_that_this_worker_cannot_begin_waits_for_one_that_can(store: Store, ended: World) -> None:
    dead(ended)
    other = World(store, newer(Lenient, name="other"), clock=ended.clock)
    rerun(other, wish(0, "w-1"))
    dead(other)
    taken_over(World(store, remembering(None), clock=ended.clock))
    assert [row[:2] for row in generations(store)] == [(0, "compensated"), (1, "completed")]


def test_without_its_log_a_run_is_not_rerun(store: Store, ended: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row stays when its log is moved to an archive."""
    monkeypatch.setattr(store, "entries_of", lambda *_, **__: [])
    rerun(ended, wish(0, "w-1"))
    monkeypatch.undo()
    assert [row[:2] for row in generations(store)] == [(0, "compensated")]
