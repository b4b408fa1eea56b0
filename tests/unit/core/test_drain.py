"""The drain: no new forward work, what was sent is awaited and settled, then the undo list is frozen (rule 7)."""

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.messages import Done, Replied
from amends.schemas import events as e
from amends.schemas.instants import MILLISECOND
from tests.simulation.definitions import TIMEOUT_MS, action, read, saga
from tests.simulation.run import Run


def failed_beside(*others: str) -> Run:
    """A run turning back because `bad` was refused while `a` is under way."""
    run = Run.of(saga(action("a", ()), action("bad", ()), *(action(other, ("a",)) for other in others)))
    assert run.refused("bad") == ["bad failed (refused)", "drain (failed)"]
    return run


def test_the_failure_that_turned_the_run_back_is_kept() -> None:
    run = failed_beside()
    state = run.get()
    assert (state.status, state.cause) == ("compensating", "failed")
    assert state.failure is not None
    assert (state.failure.step, state.failure.attempt, state.failure.kind) == ("bad", 1, "refused")


def test_what_was_sent_is_awaited_and_nothing_new_is_requested() -> None:
    run = failed_beside("b")
    assert run.doing() == ["a"]
    assert run.ok("a") == ["a succeeded", "compensate a", "request undo of a"]


def test_a_failure_in_the_drain_is_not_retried() -> None:
    run = failed_beside()
    assert run.unavailable("a") == ["a failed (unavailable)", "compensate nothing", "compensated"]
    state = run.get()
    assert state.failure is not None
    assert state.failure.step == "bad"


def test_a_retry_that_was_due_later_is_given_up() -> None:
    run = Run.of(saga(action("a", ()), action("bad", ())))
    run.unavailable("a", retry_after_ms=5_000)
    assert run.refused("bad") == ["bad failed (refused)", "drain (failed)", "compensate nothing", "compensated"]


def test_reads_are_not_awaited() -> None:
    run = Run.of(saga(read("look", ()), action("bad", ())))
    assert run.refused("bad") == [
        "bad failed (refused)",
        "drain (failed)",
        "look failed (withdrawn)",
        "compensate nothing",
        "compensated",
    ]
    late = Done(result=run.keep("seen"))
    assert run.tell(Replied(path="look", direction="forward", attempt=1, answer=late)) == []


def test_an_attempt_is_awaited_past_its_timeout_then_a_person_is_asked() -> None:
    run = failed_beside()
    assert next_due(run.plan, run.get()) == run.now + (TIMEOUT_MS + 60_000) * MILLISECOND
    run.times_out("a")
    assert run.doing() == ["a"]
    assert next_due(run.plan, run.get()) == run.now + 60_000 * MILLISECOND
    assert run.passes(59_999) == []
    assert run.passes(1) == ["parked undo: a (in_doubt)"]
    parked = run.get().parked
    assert parked is not None
    assert (parked.phase, parked.why) == ("undo", "attempt still running")
    assert run.doing() == ["a"], "its reply is still awaited"
    assert run.ok("a") == ["a succeeded"]
    assert run.resolve("a", "retry") == ["resolved a: retry", "compensate a", "request undo of a"]


def test_a_run_is_parked_for_one_thing_at_a_time() -> None:
    run = Run.of(saga(action("a", ()), action("b", ())))
    run.cancel()
    run.times_out("a")
    run.times_out("b")
    assert run.passes(600_000) == ["parked undo: a (in_doubt)"]
    assert run.resolve("a", "skip") == ["resolved a: skip", "parked undo: b (in_doubt)"]


def test_the_undo_list_reverses_the_order_of_last_requests() -> None:
    run = Run.of(saga(action("a", ()), action("b", ()), action("c", ()), action("bad", ())))
    run.unavailable("a")
    run.ok("b")
    run.tick()  # The second request of `a`.
    run.ok("a")
    run.ok("c")
    run.refused("bad")
    started = next(event for event in run.events if isinstance(event, e.CompensationStarted))
    assert started.undo_list == ("a", "c", "b")


def test_only_what_stands_or_may_stand_is_undone() -> None:
    run = Run.of(
        saga(
            action("done", ()),
            action("failed", ()),
            action("raised", ()),
            read("read", ()),
            action("bad", ()),
            action("never", ("bad",)),
        )
    )
    run.ok("done")
    run.unavailable("failed", retry_after_ms=5_000)
    run.ok("read")
    assert run.raises("raised") == ["raised settled: ended by exception", "drain (failed)"]
    assert run.refused("bad")[:2] == ["bad failed (refused)", "compensate raised, done"]


def test_two_doubts_are_settled_side_by_side() -> None:
    run = Run.of(saga(action("a", (), lookup=True), action("b", (), key=True), action("bad", ())))
    run.refused("bad")
    run.unknown("a")
    assert run.unknown("b") == ["b in doubt (in_doubt)", "retry b"]
    assert run.denies("a") == ["a settled: absent by lookup"]
    assert run.tick() == ["request b again"]
    assert run.ok("b") == ["b succeeded", "compensate b", "request undo of b"]


def test_an_absence_is_believed_only_when_nothing_can_land_any_more() -> None:
    run = Run.of(saga(action("a", lookup=True, settle_ms=20_000)))
    run.cancel()
    run.unknown("a")
    quiet = run.now
    assert run.denies("a") == ["ask about a later"]
    command = run.command("a", asks=True)
    assert command.not_before == quiet + 20_000 * MILLISECOND
    assert run.denies("a") == ["a settled: absent by lookup", "compensate nothing", "compensated"]


def test_an_absence_is_believed_at_once_when_the_attempt_has_returned_by_itself() -> None:
    run = Run.of(saga(action("a", lookup=True, settle_ms=20_000)))
    run.cancel()
    assert run.raises("a") == ["a settled: ended by exception"]
    assert run.denies("a") == ["a settled: absent by lookup", "compensate nothing", "compensated"]


def test_a_lookup_that_stays_silent_parks_when_the_time_is_up() -> None:
    run = Run.of(saga(action("a", lookup=True, settle_within_ms=20_000)))
    run.cancel()
    run.unknown("a")
    began = run.now
    while (decided := run.cannot_say("a")) == ["ask about a later"]:
        pass
    assert decided == ["parked undo: a (in_doubt)"]
    assert began + 20_000 * MILLISECOND <= run.now <= began + 26_000 * MILLISECOND
    parked = run.get().parked
    assert parked is not None
    assert parked.why == "in doubt and nothing can settle it: no reply"


def test_an_undo_that_needs_a_result_nobody_knows_is_a_persons() -> None:
    run = Run.of(saga(action("a", undo_takes_unknown=False)))
    run.raises("a")
    assert run.story[-4:] == [
        "a settled: ended by exception",
        "drain (failed)",
        "compensate a",
        "parked undo: a (in_doubt)",
    ]
    parked = run.get().parked
    assert parked is not None
    assert parked.why == "what it did is not known, and its undo needs the result"


def test_an_attempt_that_raised_is_undone_without_its_result() -> None:
    run = Run.of(saga(action("a")))
    assert run.raises("a") == ["a settled: ended by exception", "drain (failed)", "compensate a", "request undo of a"]


def test_tombstones_serve_only_an_undo_that_needs_no_result() -> None:
    run = Run.of(saga(action("a", tombstones=True, undo_takes_unknown=False)))
    run.cancel()
    assert run.unknown("a") == ["a in doubt (in_doubt)", "parked undo: a (in_doubt)"]


def test_what_was_to_be_sent_again_is_settled_afresh_when_the_run_turns_back() -> None:
    run = Run.of(saga(action("a", (), key=True, tombstones=True), action("bad", ())))
    run.unknown("a")
    assert run.refused("bad") == [
        "bad failed (refused)",
        "drain (failed)",
        "a settled: tombstone by tombstone",
        "compensate a",
        "request undo of a",
    ]
