"""Locks in the core: what a queued run may do, and what it becomes (rule 16)."""

import pytest

from amends.coordinator.core.commands import commands, missing_handler, next_due
from amends.coordinator.core.locking import may_release
from amends.coordinator.core.messages import LocksGranted, Recovered, ReleaseWished, Tick
from amends.schemas.canonical import digest
from tests.simulation.definitions import action, read, saga
from tests.simulation.run import Run

TRIGGER = {"order": "A-12", "customer": 7}


def queued(**options: int) -> Run:
    run = Run(plan=Run.of(saga(action("a"), locks=("order", "customer"), **options)).plan, trigger=TRIGGER)
    assert run.start() == ["started", "wait for customer:7, order:A-12"]
    return run


def test_a_run_with_locks_requests_nothing_before_they_are_its_own() -> None:
    run = queued()
    state = run.get()
    assert (run.status, run.doing()) == ("queued", [])
    assert commands(run.plan, state, run.now) == ()
    assert next_due(run.plan, state) == state.deadline_at
    assert run.tell(LocksGranted()) == ["take customer:7, order:A-12", "request a"]
    assert run.status == "running"


def test_what_is_granted_twice_is_taken_once() -> None:
    run = queued()
    run.tell(LocksGranted())
    assert run.tell(LocksGranted()) == []


@pytest.mark.parametrize("message", [Tick(), Recovered(clean=False), Recovered(clean=True)])
def test_neither_time_nor_a_stop_of_its_owner_lets_a_queued_run_begin(message: Tick | Recovered) -> None:
    run = queued()
    assert (run.tell(message), run.status) == ([], "queued")


def test_the_deadline_of_a_queued_run_passes() -> None:
    run = queued(deadline_ms=5_000)
    assert run.passes(5_000) == ["drain (deadline)", "compensate nothing", "compensated"]
    assert run.tell(LocksGranted()) == []


def test_a_cancelled_run_takes_no_locks_afterwards() -> None:
    run = queued()
    assert run.cancel() == ["drain (cancelled)", "compensate nothing", "compensated"]
    assert run.tell(LocksGranted()) == []


def test_a_queued_run_waits_for_its_locks_whichever_handlers_are_missing() -> None:
    run = Run.of(saga(read("look"), locks=("order",)), trigger=TRIGGER, missing=frozenset({"look"}))
    assert missing_handler(run.plan, run.get(), run.now) is None


def test_only_a_parked_run_has_a_lock_taken_away() -> None:
    run = queued()
    wish = ReleaseWished(key="order:A-12", reason="it takes weeks")
    assert run.tell(wish) == []
    run.tell(LocksGranted())
    assert (run.tell(wish), may_release(run.get(), "order:A-12")) == ([], "it is running, not parked")


def test_a_parked_run_goes_on_with_the_locks_it_has_left() -> None:
    run = Run.of(saga(action("a"), read("bad"), locks=("order", "customer")), trigger=TRIGGER)
    run.tell(LocksGranted())
    run.ok("a")
    run.refused("bad")
    run.refused("undo of a")
    assert run.status == "parked"
    assert may_release(run.get(), "order:A-13") == "it does not hold order:A-13"
    assert run.tell(ReleaseWished(key="order:A-12", reason="it takes weeks")) == ["order:A-12 taken away"]
    state = run.get()
    assert (state.status, may_release(state, "order:A-12")) == ("parked", "it does not hold order:A-12")
    assert may_release(state, "customer:7") is None


def test_locks_are_asked_for_in_one_order_and_equal_ones_once() -> None:
    names = ("c", "a", "e", "b", "d", "none")
    trigger = {"a": 2, "b": 1, "c": "x", "d": "x", "e": None}
    run = Run(plan=Run.of(saga(action("a"), locks=names)).plan, trigger=trigger)
    assert run.start() == ["started", "wait for a:2, b:1, c:x, d:x"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param("x" * 255, "order:" + "x" * 255, id="as it is"),
        pytest.param("x" * 256, "order:" + digest(b"x" * 256), id="by its digest where it is long"),
        pytest.param("A\0", "order:" + digest(b"A\0"), id="by its digest where a database could not hold it"),
        pytest.param("A\n", "order:" + digest(b"A\n"), id="by its digest where it would rewrite a terminal"),
        pytest.param(7, "order:7", id="an integer"),
    ],
)
def test_a_lock_is_named_by_its_value(order: object, expected: str) -> None:
    run = Run(plan=Run.of(saga(action("a"), locks=("order",))).plan, trigger={"order": order})
    assert run.start() == ["started", f"wait for {expected}"]


def test_a_saga_without_locks_knows_nothing_of_them() -> None:
    run = Run.of(saga(action("a")), trigger=TRIGGER)
    assert run.status == "running"
    assert run.tell(LocksGranted()) == []
