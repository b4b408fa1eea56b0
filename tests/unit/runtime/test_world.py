"""The engine over a store in memory, step by step: endings, crashes at every turn, duplicates, suspects, people."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from amends.coordinator.core.state import State
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.testing.replies import Reply
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.canonical import sha256_hex
from amends.schemas.chain import EMPTY_HEAD, next_head
from amends.schemas.entry import decode, unseal
from amends.schemas.ids import SagaId
from amends.testing import fails, late, ok, raises, state, times_out, unavailable, unknown, world
from tests.unit.runtime.sagas import Done, order_saga

Replies = Mapping[str, Reply | Iterable[Reply]]
DONE = ok(Done(key="k"))


def only(installation: World) -> State:
    """The state of the one run there is."""
    (row,) = installation.store.runs()
    return state(installation, row.saga_id)


@pytest.mark.parametrize(
    ("replies", "status", "undone"),
    [
        pytest.param({}, "completed", [], id="three steps that succeed complete the run"),
        pytest.param({"c": fails()}, "compensated", ["b", "a"], id="a refusal undoes what was done, last first"),
        pytest.param({"a": fails()}, "compensated", [], id="a refused first step leaves nothing to undo"),
        pytest.param({"b": [unavailable(), DONE]}, "completed", [], id="an unavailable participant is tried again"),
        pytest.param({"b": unavailable()}, "compensated", ["a"], id="attempts that run out turn the run back"),
        pytest.param({"b": [times_out(), DONE]}, "completed", [], id="a lost reply is asked for again under its key"),
        pytest.param({"b": [unknown(), DONE]}, "completed", [], id="an unknown effect is asked for again"),
        pytest.param({"b": [raises(ValueError("x")), DONE]}, "completed", [], id="a bare exception is tried again"),
        pytest.param(
            {"b": raises(ValueError("x"))}, "compensated", ["b", "a"], id="attempts that ended unknown are undone too"
        ),
        pytest.param(
            {"b": [late(Done(key="k"), after="40s")]}, "completed", [], id="a reply after the timeout still counts"
        ),
        pytest.param({"c": fails(), "a.undo": fails()}, "parked", ["b"], id="an undo that is refused parks the run"),
        pytest.param(
            {"c": fails(), "b.undo": [unavailable(), ok()]}, "compensated", ["b", "a"], id="an undo is tried again"
        ),
    ],
)
def test_a_run_ends_as_its_handlers_answer(replies: Replies, status: str, undone: list[str]) -> None:
    installation = world(order_saga(), replies=replies)
    installation.publish({"id": "A-1"})
    installation.run()
    ended = only(installation)
    assert (ended.status, [each.step for each in ended.undone]) == (status, undone)


@pytest.mark.parametrize("crash_at", range(1, 14))
@pytest.mark.parametrize(
    ("replies", "status"),
    [
        pytest.param({}, "completed", id="a run that completes"),
        pytest.param({"c": fails()}, "compensated", id="a run that is undone"),
    ],
)
def test_a_crash_after_any_turn_changes_no_ending(replies: Replies, status: str, crash_at: int) -> None:
    installation = world(order_saga(), replies=replies)
    installation.publish({"id": "A-1"})
    for _ in range(crash_at):
        installation._turn()
    installation.crash()
    if not installation.store.runs():
        installation.publish({"id": "A-1"})  # Nothing was committed, so the bus hands the record out again.
    installation.run()
    assert only(installation).status == status


def test_the_log_is_gapless_and_chained_after_a_crash() -> None:
    installation = world(order_saga(), replies={"c": fails()})
    installation.publish({"id": "A-1"})
    for _ in range(3):
        installation._turn()
    installation.crash()
    installation.run()
    stored = installation.store.entries_from(0, after=0, limit=1_000)
    entries = [decode(each.data) for each in stored]
    head = EMPTY_HEAD
    for each, entry in zip(stored, entries, strict=True):
        assert entry.hash == sha256_hex(unseal(each.data))
        head = next_head(head, entry.hash)
    assert [each.position for each in stored] == list(range(1, len(stored) + 1))
    assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.previous_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert installation.store.shards()[0].head == head


def test_the_same_key_is_one_run_and_another_payload_a_conflict() -> None:
    installation = world(order_saga())
    installation.publish({"id": "A-1", "amount": 1})
    installation.publish({"id": "A-1", "amount": 1.0})
    installation.publish({"id": "A-1", "amount": 2})
    installation.run()
    installation.publish({"id": "A-1"})
    installation.publish({"id": "A-1", "amount": 1})
    installation.run()
    (row,) = installation.store.runs()
    letters = installation.store.dead_letters()
    assert (row.duplicates, [letter.reason for letter in letters]) == (2, ["conflict", "conflict"])
    assert {letter.saga_id for letter in letters} == {row.saga_id}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"amount": 3}, "no_key"),
        ({"id": "A-1", "amount": "many"}, "invalid"),
        ({"id": ["A-1"]}, "invalid"),
    ],
)
def test_a_bad_record_becomes_a_dead_letter(value: dict[str, object], reason: str) -> None:
    installation = world(order_saga())
    installation.publish(value)
    installation.run()
    assert [letter.reason for letter in installation.store.dead_letters()] == [reason]
    assert installation.store.runs() == []


def wish(installation: World, make: Callable[[SagaId], wishes.Wish]) -> None:
    """Leave a wish about the one run in the inbox and let the worker see it."""
    (row,) = installation.store.runs()
    body = wishes.write(make(row.saga_id))
    installation.store.put_inbox([InboxRow(shard=row.shard, message_id=f"w{len(body)}", body=body)])
    installation.take_inbox()
    installation.run()


def test_a_parked_undo_goes_on_when_a_person_says_retry() -> None:
    installation = world(order_saga(), replies={"c": fails(), "a.undo": [fails("down"), ok()]})
    installation.publish({"id": "A-1"})
    installation.run()
    assert only(installation).status == "parked"
    wish(
        installation,
        lambda saga_id: wishes.Resolve(
            actor="kim", saga_id=saga_id, step="a", resolution="retry", reason=None, evidence=None
        ),
    )
    ended = only(installation)
    assert (ended.status, [each.step for each in ended.undone]) == ("compensated", ["b", "a"])
    assert installation.store.inbox(0) == []


def test_a_killed_run_ends_at_once_and_records_what_comes_late() -> None:
    installation = world(order_saga(), replies={"b": late(Done(key="k"), after="20s")})
    installation.publish({"id": "A-1"})
    installation.run(until=installation.clock.now + 5_000_000)
    wish(installation, lambda saga_id: wishes.Kill(actor="kim", saga_id=saga_id, reason="wrong order"))
    ended = only(installation)
    assert (ended.status, ended.reason) == ("killed", "wrong order")
    assert ended.effect("b", "forward").phase == "done"


def test_a_cancelled_run_waits_for_its_reply_and_undoes_it() -> None:
    installation = world(order_saga(), replies={"b": late(Done(key="k"), after="20s")})
    installation.publish({"id": "A-1"})
    installation.run(until=installation.clock.now + 5_000_000)
    wish(installation, lambda saga_id: wishes.Cancel(actor="kim", saga_id=saga_id, reason="changed my mind"))
    ended = only(installation)
    assert (ended.status, ended.cause) == ("compensated", "cancelled")
    assert [each.step for each in ended.undone] == ["b", "a"]


def test_a_run_that_kills_its_worker_each_time_is_parked_and_others_go_on() -> None:
    installation = world(order_saga(), replies={"a": times_out()})
    installation.publish({"id": "A-1"})
    for _ in range(5):
        for _ in range(4):
            installation._turn()
        installation.crash()
    installation.run()
    ended = only(installation)
    assert ended.parked is not None
    assert (ended.status, ended.parked.kind) == ("parked", "poison")


def test_a_large_result_is_kept_beside_the_entry() -> None:
    large = Done(key="k" * 100_000)
    installation = world(order_saga(), replies={"a": ok(large)})
    installation.publish({"id": "A-1"})
    installation.run()
    ended = only(installation)
    digest = ended.effect("a", "forward").result
    assert digest is not None
    assert ended.status == "completed"
    assert installation.store.blob(digest) == large.model_dump_json().encode()


def test_a_result_larger_than_the_saga_allows_is_no_result_but_may_have_had_an_effect() -> None:
    installation = world(
        order_saga(payload_bytes_max=1_000), replies={"b": ok(Done(key="k" * 1_000)), "b.undo": ok(), "a.undo": ok()}
    )
    installation.publish({"id": "A-1"})
    installation.run()
    ended = only(installation)
    assert ended.status == "compensated"
    assert [path for path, undo in ended.undo.items() if undo.phase == "done"] == ["b", "a"]


def test_a_reply_of_a_handler_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no handler is called b\.cancel; there is a, a\.undo, .*b, b\.undo"):
        world(order_saga(), replies={"b": DONE, "b.cancel": ok()})


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("room", id="a text"),
        pytest.param([DONE, "room"], id="a text among replies"),
        pytest.param([], id="no reply at all"),
    ],
)
def test_what_is_no_reply_is_an_error(given: Any) -> None:
    with pytest.raises(TypeError, match=r"the replies of b are .*; give ok\(…\)"):
        world(order_saga(), replies={"b": given})


def test_what_a_handler_raised_is_logged_with_its_traceback_where_debugging_is_wanted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    installation = world(order_saga(), replies={"b": [raises(ZeroDivisionError("by nothing")), DONE]})
    installation.publish({"id": "A-1"})
    with caplog.at_level("DEBUG", logger="amends.handlers"):
        installation.run()
    (record,) = [each for each in caplog.records if each.message == "handler_raised"]
    assert vars(record)["handler"] == "b"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_many_runs_share_entries_batches_and_all_end() -> None:
    installation = world(order_saga(), replies={})
    for number in range(600):
        installation.publish({"id": f"A-{number}"})
    installation.run()
    assert {row.status for row in installation.store.runs(limit=1_000)} == {"completed"}
    assert len(installation.store.entries_from(0, after=0, limit=10_000)) == 600 * 4
    assert installation.engine.runs == {}
