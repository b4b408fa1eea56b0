"""Cancel and kill (rule 12)."""

import pytest

from amends.coordinator.core.commands import commands, next_due
from amends.coordinator.core.people import may_cancel
from amends.schemas.instants import MILLISECOND
from tests.simulation.definitions import action, pivot, read, retriable, saga
from tests.simulation.run import Run


def test_a_cancelled_run_is_undone_with_the_persons_reason() -> None:
    run = Run.of(saga(action("a"), action("b")))
    run.ok("a")
    assert run.cancel() == ["drain (cancelled)"]
    assert run.ok("b") == ["b succeeded", "compensate b, a", "request undo of b"]
    state = run.get()
    assert (state.cause, state.reason, state.failure) == ("cancelled", "changed their mind", None)


def test_a_run_cancelled_between_steps_is_undone_at_once() -> None:
    run = Run.of(saga(action("a"), read("look")))
    run.ok("a")
    assert run.cancel() == ["drain (cancelled)", "look failed (withdrawn)", "compensate a", "request undo of a"]


def test_a_second_cancel_changes_nothing() -> None:
    run = Run.of(saga(action("a")))
    run.cancel()
    assert run.cancel() == []


def test_a_run_parked_on_its_way_forward_may_be_cancelled() -> None:
    run = Run.of(saga(action("a"), action("b", tombstones=True)))
    run.ok("a")
    run.unknown("b")
    assert run.status == "parked"
    assert run.cancel() == [
        "drain (cancelled)",
        "b settled: tombstone by tombstone",
        "compensate b, a",
        "request undo of b",
    ]
    assert run.get().parked is None


def test_time_for_settling_begins_anew_when_a_parked_run_is_cancelled() -> None:
    run = Run.of(saga(action("a", lookup=True, settle_within_ms=5_000)))
    run.unknown("a")
    while run.status == "running":
        run.cannot_say("a")
    run.passes(3_600_000)
    run.cancel()
    assert run.doing() == ["a.lookup"]
    assert run.cannot_say("a") == ["ask about a later"]


def parked_undo() -> Run:
    run = Run.of(saga(action("a"), read("bad")))
    run.ok("a")
    run.refused("bad")
    run.refused("undo of a")
    return run


def ended() -> Run:
    run = Run.of(saga(action("a")))
    run.ok("a")
    return run


def behind_the_pivot() -> Run:
    run = Run.of(saga(pivot("pay"), retriable("ship")))
    run.ok("pay")
    return run


def compensating() -> Run:
    run = Run.of(saga(action("a")))
    run.cancel()
    return run


@pytest.mark.parametrize(
    ("run", "why"),
    [
        pytest.param(ended(), "the run is completed already", id="ended"),
        pytest.param(parked_undo(), "the run is being undone already", id="parked while undoing"),
        pytest.param(compensating(), "the run is being undone already", id="undoing"),
        pytest.param(behind_the_pivot(), "the run has passed its pivot and can only go forward", id="pivot passed"),
        pytest.param(Run.of(saga(action("a"))), None, id="running"),
    ],
)
def test_who_may_cancel_is_told_why_not(run: Run, why: str | None) -> None:
    assert may_cancel(run.plan, run.get()) == why
    if why is not None:
        assert run.cancel() == []


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(Run.of(saga(action("a"))), id="running"),
        pytest.param(compensating(), id="compensating"),
        pytest.param(parked_undo(), id="parked"),
        pytest.param(behind_the_pivot(), id="behind the pivot"),
    ],
)
def test_a_kill_stops_a_run_wherever_it_stands(run: Run) -> None:
    version = len(run.entries) + 1
    assert run.kill() == ["killed"]
    state = run.get()
    assert (state.status, state.reason, state.ended_at, state.parked) == ("killed", "enough", run.now, None)
    assert state.outcome_version == version
    assert commands(run.plan, state, run.now) == ()
    assert next_due(run.plan, state) is None
    assert run.passes(3_600_000) == []
    assert run.kill() == []


def test_the_exposure_of_a_killed_run_is_in_its_state() -> None:
    run = Run.of(saga(action("a"), action("b")))
    run.ok("a")
    since = run.effect("a").since
    run.now += 5 * MILLISECOND
    run.kill()
    assert run.effect("a").phase == "done"
    assert run.effect("a").since == since
    assert run.effect("b").phase == "requested", "nobody knows what becomes of it"
