"""Time limits: of a step, of the run, of its wall time (rules 7, 12 and 15)."""

from typing import Any

import pytest

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.decide import decide
from amends.coordinator.core.messages import Failed, Replied, Tick
from amends.schemas import events as e
from amends.schemas.instants import MILLISECOND, instant_of
from tests.simulation.definitions import TIMEOUT_MS, action, pivot, read, retriable, saga
from tests.simulation.run import BEGIN, Run


def test_a_request_carries_its_time_limit() -> None:
    run = Run.of(saga(action("charge")))
    request = run.events[1]
    assert isinstance(request, e.StepRequested)
    assert instant_of(request.timeout_at) == BEGIN + TIMEOUT_MS * MILLISECOND
    assert run.command("charge").timeout_at == BEGIN + TIMEOUT_MS * MILLISECOND


def test_a_timeout_is_no_failure_while_the_attempt_runs() -> None:
    run = Run.of(saga(action("charge", key=True)))
    assert run.times_out("charge") == ["charge in doubt (timeout), running"]
    assert run.doing() == ["charge"], "its slot stays taken"
    assert run.ok("charge") == ["charge succeeded", "completed"]


def test_that_an_attempt_runs_past_its_timeout_is_recorded_once() -> None:
    run = Run.of(saga(action("charge", key=True)))
    run.times_out("charge")
    assert run.times_out("charge") == []


def test_an_attempt_that_runs_on_parks_the_run_when_the_time_for_settling_is_over() -> None:
    run = Run.of(saga(action("charge", key=True, settle_within_ms=5_000)))
    run.times_out("charge")
    assert next_due(run.plan, run.get()) == run.now + 5_000 * MILLISECOND
    assert run.passes(4_999) == []
    assert run.passes(1) == ["parked forward: charge (in_doubt)"]
    parked = run.get().parked
    assert parked is not None
    assert parked.why == "attempt still running"


def test_the_deadline_turns_the_run_back() -> None:
    run = Run.of(saga(action("a"), action("b"), deadline_ms=10_000))
    run.ok("a")
    run.unavailable("b", retry_after_ms=5_000)
    assert next_due(run.plan, run.get()) == run.effect("b").due_at
    run.tick()
    run.unavailable("b", retry_after_ms=5_000)
    assert run.effect("b").due_at == run.get().deadline_at, "a retry at that very instant is not requested"
    run.now = BEGIN + 10_000 * MILLISECOND - 1
    assert run.tell(Tick()) == []
    run.now += 1
    assert run.tell(Tick()) == ["drain (deadline)", "compensate a", "request undo of a"]
    assert run.get().cause == "deadline"


def test_the_deadline_is_an_instant_that_the_run_waits_for() -> None:
    run = Run.of(saga(read("look"), deadline_ms=10_000))
    assert next_due(run.plan, run.get()) == BEGIN + 10_000 * MILLISECOND


def test_behind_the_pivot_no_deadline_counts() -> None:
    run = Run.of(saga(pivot("pay"), retriable("ship"), deadline_ms=10_000, wall_ms=8_000))
    run.ok("pay")
    assert next_due(run.plan, run.get()) is None
    assert run.passes(60_000) == []
    assert run.status == "running"


def test_no_deadline_counts_while_undoing() -> None:
    run = Run.of(saga(action("a"), action("b"), deadline_ms=10_000))
    run.ok("a")
    run.refused("b")
    assert next_due(run.plan, run.get()) is None
    assert run.passes(60_000) == []
    assert run.get().cause == "failed"


def test_spent_wall_time_is_a_limit_that_turns_the_run_back() -> None:
    run = Run.of(saga(action("a"), action("b"), wall_ms=8_000))
    run.ok("a")
    assert next_due(run.plan, run.get()) == BEGIN + 8_000 * MILLISECOND
    assert run.passes(7_999) == []
    assert run.passes(1) == ["limit: wall_ms", "drain (budget)"]
    state = run.get()
    assert state.cause == "budget"
    assert state.failure is not None
    assert (state.failure.step, state.failure.kind) == ("b", "limit")
    assert state.failure.message == "8000 ms of 8000 ms used"


def test_where_both_are_over_the_deadline_is_the_cause() -> None:
    run = Run.of(saga(action("a"), wall_ms=8_000, deadline_ms=9_000))
    assert run.passes(9_000)[0] == "drain (deadline)"


@pytest.mark.parametrize("limit", ["deadline_ms", "wall_ms"])
def test_no_time_passes_while_parked(limit: str) -> None:
    options: Any = {limit: 30_000}
    run = Run.of(saga(action("a"), **options))
    run.passes(10_000)
    run.unknown("a")  # Nothing can settle it.
    assert run.status == "parked"
    assert next_due(run.plan, run.get()) is None
    assert run.passes(3_600_000) == []
    assert run.resolve("a", "retry") == ["resolved a: retry", "request a again"]
    assert next_due(run.plan, run.get()) == run.now + 20_000 * MILLISECOND
    assert run.passes(19_999) == []
    assert "drain" in " ".join(run.passes(1))


def test_the_time_for_settling_does_not_pass_while_parked() -> None:
    run = Run.of(saga(action("a", ()), action("b", (), key=True, settle_within_ms=5_000)))
    run.times_out("b")
    run.unknown("a")
    assert run.get().parked is not None
    run.passes(60_000)
    run.resolve("a", "retry")
    run.ok("a")
    assert run.passes(4_000) == []
    assert run.passes(1_000) == ["parked forward: b (in_doubt)"]


def test_a_doubt_that_arises_while_it_is_parked_is_settled_within_its_time_from_there() -> None:
    run = Run.of(saga(action("a", ()), action("b", (), key=True, settle_within_ms=5_000)))
    run.unknown("a")
    run.passes(3_600_000)
    run.times_out("b")
    run.passes(60_000)
    run.resolve("a", "retry")
    run.ok("a")
    assert run.passes(4_000) == []
    assert run.passes(1_000) == ["parked forward: b (in_doubt)"]


def test_what_succeeds_while_it_is_parked_is_read_back_within_its_time_from_there() -> None:
    run = Run.of(saga(action("a", ()), action("b", (), verify=True, key=True)))
    run.unknown("a")
    run.passes(3_600_000)
    assert run.ok("b") == ["b succeeded"]
    run.passes(60_000)
    run.resolve("a", "retry")
    resolved_at = run.now
    while run.denies("b") == ["ask about b later"]:
        pass
    assert run.story[-2] == "b in doubt (verify_false)"
    assert run.now - resolved_at <= 1_000 * MILLISECOND


def test_a_clock_that_is_behind_the_last_entry_does_not_turn_time_back() -> None:
    run = Run.of(saga(action("a"), action("b")))
    run.passes(5_000)
    run.ok("a")
    at = run.get().at
    failed = Failed(kind="unavailable", message="later", retriable=True, retry_after_ms=1_000)
    reply = Replied(path="b", direction="forward", attempt=1, answer=failed)
    events, _ = decide(run.plan, run.get(), reply, at - 60_000 * MILLISECOND, run.payloads.__getitem__)
    retry = events[-1]
    assert isinstance(retry, e.RetryScheduled)
    assert instant_of(retry.due_at) == at + 1_000 * MILLISECOND
