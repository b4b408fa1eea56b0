"""The pivot is a barrier: requested alone, and behind it a run only goes forward (rule 11)."""

import pytest

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.people import may_cancel, resolutions
from amends.coordinator.definition.expression import Compare, Expression, Reference, Value
from amends.schemas.events import RunResumed
from amends.schemas.instants import MILLISECOND
from tests.simulation.definitions import action, pivot, read, result, retriable, saga
from tests.simulation.run import Run


def never() -> Expression:
    return Compare(left=Reference(step=None, field="kind"), how="==", right=Value(value="paper"))


def test_the_pivot_waits_for_everything_else_that_acts() -> None:
    run = Run.of(saga(action("a", ()), action("b", ()), pivot("pay", ("a",))))
    assert run.ok("a") == ["a succeeded"]
    assert run.ok("b") == ["b succeeded", "request pay"]


def test_the_pivot_waits_for_the_read_back_of_what_was_done_beside_it() -> None:
    run = Run.of(saga(action("a", ()), action("b", (), verify=True), pivot("pay", ("a",))))
    run.ok("a")
    assert run.ok("b") == ["b succeeded"]
    assert run.finds("b") == ["b verified by readback", "request pay"]


def test_the_pivot_waits_for_a_retry_beside_it() -> None:
    run = Run.of(saga(action("a", ()), action("b", ()), pivot("pay", ("a",))))
    run.unavailable("b")
    assert run.ok("a") == ["a succeeded"]
    run.tick()
    assert run.ok("b") == ["b succeeded", "request pay"]


def test_the_pivot_does_not_wait_for_reads() -> None:
    run = Run.of(saga(read("look", ()), action("a", ()), pivot("pay", ("a",))))
    assert run.ok("a") == ["a succeeded", "request pay"]


def test_a_failure_before_the_pivot_undoes() -> None:
    run = Run.of(saga(action("a"), pivot("pay"), retriable("ship")))
    run.ok("a")
    assert run.refused("pay") == ["pay failed (refused)", "drain (failed)", "compensate a", "request undo of a"]


def test_behind_the_pivot_a_failure_parks() -> None:
    run = Run.of(saga(action("a"), pivot("pay"), retriable("ship", attempts=2)))
    run.ok("a")
    run.ok("pay")
    run.unavailable("ship")
    run.tick()
    assert run.unavailable("ship") == ["ship failed (unavailable)", "parked forward: ship (unavailable)"]
    assert resolutions(run.plan, run.get()) == ("retry", "done_by_hand")
    assert run.cancel() == []
    assert may_cancel(run.plan, run.get()) == "the run has passed its pivot and can only go forward"


def test_behind_the_pivot_a_failed_result_parks() -> None:
    run = Run.of(saga(pivot("pay"), result()))
    run.ok("pay")
    assert run.refused("outcome") == ["outcome failed (refused)", "parked forward: outcome (refused)"]
    assert run.resolve("outcome", "retry") == ["resolved outcome: retry", "new key for outcome", "request outcome"]
    assert run.ok("outcome")[-1] == "completed"


def test_a_pivot_in_flight_is_awaited_and_if_it_took_the_run_goes_on() -> None:
    run = Run.of(saga(action("a"), pivot("pay"), retriable("ship")))
    run.ok("a")
    assert run.cancel() == ["drain (cancelled)"]
    assert run.ok("pay") == ["pay succeeded", "resumed (pivot_passed)", "request ship"]
    assert run.events[-2] == RunResumed(why="pivot_passed", clean=True, alone=False)
    state = run.get()
    assert (state.status, state.cause, state.reason, state.draining) == ("running", None, None, False)


def test_a_read_that_failed_beside_a_pivot_that_took_parks() -> None:
    run = Run.of(saga(pivot("pay", ()), read("look", ()), retriable("ship", ("pay",))))
    assert run.refused("look") == ["look failed (refused)", "drain (failed)"]
    assert run.ok("pay") == ["pay succeeded", "resumed (pivot_passed)", "parked forward: look (refused)"]


def test_a_pivot_in_doubt_blocks_both_ways_until_its_lookup_knows() -> None:
    run = Run.of(saga(action("a"), pivot("pay", lookup=True, key=True, settle_ms=20_000), retriable("ship")))
    run.ok("a")
    run.cancel()
    assert run.unknown("pay") == ["pay in doubt (in_doubt)"]
    asked_from = run.now
    assert run.denies("pay") == ["ask about pay later"], "it is not sent again only to be there"
    assert run.denies("pay") == ["pay settled: absent by lookup", "compensate a", "request undo of a"]
    assert run.now >= asked_from + 20_000 * MILLISECOND


def test_a_pivot_in_doubt_that_is_found_leads_forward() -> None:
    run = Run.of(saga(action("a"), pivot("pay", lookup=True), retriable("ship")))
    run.ok("a")
    run.cancel()
    run.unknown("pay")
    assert run.finds("pay") == ["pay settled: present by lookup", "resumed (pivot_passed)", "request ship"]


def test_a_pivot_in_doubt_with_only_a_key_is_sent_again_until_it_is_definite() -> None:
    run = Run.of(saga(action("a"), pivot("pay", key=True), retriable("ship")))
    run.ok("a")
    run.cancel()
    assert run.unknown("pay") == ["pay in doubt (in_doubt)", "retry pay"]
    assert run.tick() == ["request pay again"]
    assert run.refused("pay") == ["pay failed (refused)", "compensate a", "request undo of a"]


@pytest.mark.parametrize("reply", ["unknown", "raises"])
def test_a_pivot_in_doubt_that_nothing_can_settle_parks(reply: str) -> None:
    run = Run.of(saga(action("a"), pivot("pay"), retriable("ship")))
    run.ok("a")
    run.cancel()
    assert getattr(run, reply)("pay")[-1] == "parked undo: pay (in_doubt)"
    assert "go_forward" not in resolutions(run.plan, run.get())
    assert run.resolve("pay", "done_by_hand") == [
        "resolved pay: done_by_hand",
        "pay verified by person",
        "resumed (pivot_passed)",
        "request ship",
    ]


def test_a_pivot_that_a_person_leaves_behind_does_not_count_as_passed() -> None:
    run = Run.of(saga(action("a"), pivot("pay"), retriable("ship")))
    run.ok("a")
    run.cancel()
    run.unknown("pay")
    assert run.resolve("pay", "skip") == ["resolved pay: skip", "compensate a", "request undo of a"]


def test_a_run_does_not_go_forward_beside_a_pivot_that_a_person_left_in_doubt() -> None:
    run = Run.of(saga(action("a", undo_attempts=1), pivot("pay", key=True, attempts=1)))
    run.ok("a")
    run.raises("pay")
    run.resolve("pay", "skip")
    run.unavailable("undo of a")
    assert resolutions(run.plan, run.get()) == ("retry", "done_by_hand", "skip")
    assert run.resolve("a", "go_forward") == []


def test_no_deadline_is_waited_for_behind_the_pivot() -> None:
    run = Run.of(saga(pivot("pay"), retriable("ship")))
    assert next_due(run.plan, run.get()) == run.get().deadline_at
    run.ok("pay")
    assert next_due(run.plan, run.get()) is None


def test_a_skipped_pivot_counts_as_passed_if_something_that_acts_comes_after_it() -> None:
    run = Run.of(saga(action("a"), pivot("pay", when=never()), retriable("ship")), trigger={})
    assert run.ok("a") == ["a succeeded", "pay skipped (condition)", "request ship"]
    assert run.refused("ship") == ["ship failed (refused)", "parked forward: ship (refused)"]


def test_a_skipped_pivot_that_nothing_acts_after_is_no_barrier() -> None:
    run = Run.of(saga(action("a"), pivot("pay", when=never()), read("look")), trigger={})
    run.ok("a")
    assert run.refused("look") == ["look failed (refused)", "drain (failed)", "compensate a", "request undo of a"]


def test_a_pivot_whose_attempts_are_out_is_settled_before_anything_is_undone() -> None:
    run = Run.of(saga(action("a"), pivot("pay", key=True, attempts=1), retriable("ship")))
    run.ok("a")
    assert run.unknown("pay") == ["pay in doubt (in_doubt)", "drain (failed)", "retry pay"]
    assert run.tick() == ["request pay again"]
    assert run.ok("pay") == ["pay succeeded", "resumed (pivot_passed)", "request ship"]
