"""The compensation: undo in reverse, each verified before the next; a failed one parks (rules 8 to 10)."""

import pytest

from amends.coordinator.core.messages import Done, ReadBack, Replied, Yes
from amends.schemas.events import RetryScheduled
from amends.schemas.instants import MILLISECOND
from tests.simulation.definitions import action, read, saga
from tests.simulation.run import Run


def turned_back(*steps: str, undo_verify: bool = True, undo_attempts: int = 5, key: bool = False) -> Run:
    """A run of these steps, all of them done, then turned back by a refusal."""
    made = [action(step, undo_verify=undo_verify, undo_attempts=undo_attempts, key=key) for step in steps]
    run = Run.of(saga(*made, read("bad")))
    for step in steps:
        run.ok(step)
    run.refused("bad")
    return run


def test_the_next_undo_begins_when_the_one_before_is_undone_and_verified() -> None:
    run = turned_back("a", "b")
    assert run.story[-3:] == ["drain (failed)", "compensate b, a", "request undo of b"]
    assert run.ok("undo of b") == ["undo of b succeeded"]
    assert run.doing() == ["b.undo.verify"]
    assert run.finds("undo of b") == ["undo of b verified by readback", "request undo of a"]
    assert run.ok("undo of a") == ["undo of a succeeded"]
    assert run.finds("undo of a") == ["undo of a verified by readback", "compensated"]
    assert [(each.step, each.verified_by) for each in run.get().undone] == [("b", "readback"), ("a", "readback")]


def test_without_a_read_back_the_reply_is_the_evidence() -> None:
    run = turned_back("a", "b", undo_verify=False)
    assert run.ok("undo of b") == ["undo of b succeeded", "undo of b verified by reply", "request undo of a"]
    assert run.ok("undo of a")[-1] == "compensated"


def test_an_undo_has_its_own_key_and_its_own_attempts() -> None:
    run = turned_back("a")
    undo, step = run.effect("undo of a"), run.effect("a")
    assert (undo.attempt, undo.generation) == (1, 0)
    assert undo.key not in {None, step.key}


def test_parallel_steps_are_undone_one_at_a_time() -> None:
    run = Run.of(saga(action("a", ()), action("b", ()), read("bad", ("a", "b"))))
    run.ok("a")
    run.ok("b")
    run.refused("bad")
    assert run.doing() == ["b.undo"]


def test_a_failed_undo_is_retried_by_its_own_policy_under_a_new_key() -> None:
    run = turned_back("a")
    first = run.effect("undo of a").key
    assert run.unavailable("undo of a") == [
        "undo of a failed (unavailable)",
        "new key for undo of a",
        "retry undo of a",
    ]
    assert run.tick() == ["request undo of a"]
    assert run.effect("undo of a").key != first


def test_out_of_attempts_a_failed_undo_parks_and_nothing_else_is_undone() -> None:
    run = turned_back("a", "b", undo_attempts=2)
    run.unavailable("undo of b")
    run.tick()
    assert run.unavailable("undo of b") == ["undo of b failed (unavailable)", "parked undo: b (unavailable)"]
    assert run.doing() == []
    assert run.passes(3_600_000) == []
    parked = run.get().parked
    assert parked is not None
    assert (parked.step, parked.phase, parked.why) == ("b", "undo", "later")


def test_a_refused_undo_parks_at_once() -> None:
    run = turned_back("a")
    assert run.refused("undo of a") == ["undo of a failed (refused)", "parked undo: a (refused)"]


def test_a_withdrawn_undo_costs_no_attempt() -> None:
    run = turned_back("a", undo_attempts=1)
    assert run.withdrawn("undo of a") == ["undo of a failed (withdrawn)", "retry undo of a"]
    assert run.tick() == ["request undo of a again"]
    assert run.effect("undo of a").counted == 1


def test_an_undo_that_times_out_is_awaited_while_it_runs_then_parks() -> None:
    run = turned_back("a", key=True)
    assert run.times_out("undo of a") == ["undo of a in doubt (timeout), running"]
    assert run.doing() == ["a.undo"]
    assert run.passes(299_999) == []
    assert run.passes(1) == ["parked undo: a (in_doubt)"]
    parked = run.get().parked
    assert parked is not None
    assert parked.why == "attempt still running"
    assert run.ok("undo of a") == ["undo of a succeeded"], "what comes out while parked is recorded"


def test_an_undo_whose_read_back_denies_it_is_in_doubt() -> None:
    run = turned_back("a", key=True)
    run.ok("undo of a")
    while (decided := run.denies("undo of a")) == ["ask about undo of a later"]:
        pass
    assert decided == ["undo of a in doubt (verify_false)"]
    assert run.denies("undo of a") == ["retry undo of a"]
    assert run.tick() == ["request undo of a again"]


def test_the_read_back_may_prove_an_undo_whose_reply_was_lost() -> None:
    run = turned_back("a")
    run.unknown("undo of a")
    assert run.doing() == ["a.undo.verify"]
    assert run.finds("undo of a") == [
        "undo of a settled: present by readback",
        "undo of a verified by readback",
        "compensated",
    ]


def test_no_after_a_lost_undo_is_believed_only_after_the_read_backs_lag() -> None:
    run = turned_back("a")
    run.unknown("undo of a")
    quiet = run.now
    assert run.denies("undo of a") == ["ask about undo of a later"]
    put_off = run.events[-1]
    assert isinstance(put_off, RetryScheduled)
    assert (put_off.role, put_off.attempt) == ("verify", run.command("undo of a", asks=True).number)
    assert run.command("undo of a", asks=True).not_before == quiet + 1_000 * MILLISECOND
    assert run.denies("undo of a") == ["undo of a settled: absent by readback", "retry undo of a"]
    assert run.tick() == ["request undo of a again"]


def test_out_of_attempts_an_undo_in_doubt_parks() -> None:
    run = turned_back("a", undo_attempts=1)
    run.unknown("undo of a")
    assert run.denies("undo of a") == ["parked undo: a (in_doubt)"]


def test_an_undo_that_raised_is_read_back() -> None:
    run = turned_back("a")
    assert run.raises("undo of a") == ["undo of a settled: ended by exception"]
    assert run.finds("undo of a")[-1] == "compensated"


def test_an_undo_that_raised_and_that_nobody_reads_back_is_a_persons() -> None:
    run = turned_back("a", undo_verify=False)
    assert run.raises("undo of a") == ["undo of a settled: ended by exception", "parked undo: a (in_doubt)"]
    parked = run.get().parked
    assert parked is not None
    assert parked.why == "in doubt and nothing can settle it: ValueError"


def test_a_read_back_that_finds_nothing_waits_for_the_request_that_the_undo_is_to_kill() -> None:
    run = Run.of(saga(action("a", tombstones=True, settle_ms=20_000)))
    run.cancel()
    assert run.unknown("a")[1:] == ["a settled: tombstone by tombstone", "compensate a", "request undo of a"]
    quiet = run.now
    run.unknown("undo of a")
    assert run.finds("undo of a") == ["ask about undo of a later"], "the undo may be lost, and the request still land"
    while run.finds("undo of a") == ["ask about undo of a later"]:
        pass
    assert run.now >= quiet + 20_000 * MILLISECOND
    assert run.status == "compensated"


@pytest.mark.parametrize(("later_ms", "believed"), [(19_999, False), (20_000, True)], ids=["too early", "late enough"])
def test_that_nothing_is_there_is_believed_once_the_request_cannot_land_any_more(
    later_ms: int, *, believed: bool
) -> None:
    run = Run.of(saga(action("a", tombstones=True, settle_ms=20_000)))
    run.cancel()
    run.unknown("a")
    run.now += later_ms * MILLISECOND
    run.unknown("undo of a")
    assert (run.finds("undo of a")[-1] == "compensated") == believed


def test_an_undo_that_needs_the_result_is_asked_when_it_is_known() -> None:
    run = Run.of(saga(action("a", undo_takes_unknown=False), read("bad")))
    run.ok("a")
    assert run.refused("bad")[-1] == "request undo of a"


def test_an_undo_that_was_confirmed_has_killed_the_late_request() -> None:
    run = Run.of(saga(action("a", tombstones=True, settle_ms=20_000)))
    run.cancel()
    run.unknown("a")
    run.ok("undo of a")
    assert run.finds("undo of a")[-1] == "compensated"


def test_neither_cancel_nor_deadline_touches_a_compensation() -> None:
    run = turned_back("a")
    assert run.cancel() == []
    assert run.passes(7_200_000) == []
    assert run.get().cause == "failed"
    assert run.doing() == ["a.undo"]


def test_a_reply_to_an_earlier_attempt_changes_nothing() -> None:
    run = turned_back("a")
    run.unavailable("undo of a")
    run.tick()
    late = Replied(path="a", direction="undo", attempt=1, answer=Done(result=None))
    assert run.tell(late) == []
    assert run.effect("undo of a").phase == "requested"


def test_an_answer_that_nobody_asked_for_changes_nothing() -> None:
    run = turned_back("a")
    answer = ReadBack(path="a", direction="undo", role="verify", asked=run.effect("undo of a").asks, answer=Yes())
    assert run.tell(answer) == []


def test_a_missing_undo_handler_holds_the_compensation_up_and_fails_nothing() -> None:
    run = Run.of(saga(action("a"), read("bad")), missing=frozenset({"a.undo"}))
    run.ok("a")
    assert run.refused("bad") == ["bad failed (refused)", "drain (failed)", "compensate a"]
    assert run.passes(3_600_000) == []
    assert run.status == "compensating"
