"""What is read back after the end amends the outcome, and nothing waits for it (rules 9 and 12)."""

import pytest

from amends.coordinator.core.commands import missing_handler, next_due
from amends.coordinator.core.plan import plan_of
from amends.coordinator.core.proof import proof_of
from amends.coordinator.core.recovery import is_suspect
from amends.coordinator.core.waiting import rests, waited_for
from amends.coordinator.definition.form import StepForm
from amends.coordinator.reading.outcomes import has_outcome, outcome_of
from amends.schemas.events import LateReplyRecorded, OutcomeAmended, RunResumed, VerificationRequested
from amends.schemas.instants import SECOND
from tests.simulation.definitions import action, expect, read, read_back_later, saga
from tests.simulation.run import Run
from tests.unit.core.test_fold import EVIDENCE

AFTER_MS = 7_200_000


def delayed(path: str, *after: tuple[str, ...]) -> StepForm:
    """An action that is read back two hours after it was done, and whose undo is read back two hours after that."""
    return read_back_later(action(path, *after, verify=True), after_ms=AFTER_MS, undo_after_ms=AFTER_MS)


def completed() -> Run:
    run = Run.of(saga(delayed("a"), read("b")))
    run.ok("a")
    run.ok("b")
    return run


def compensated() -> Run:
    run = Run.of(saga(delayed("a"), read("bad")))
    run.ok("a")
    run.refused("bad")
    run.ok("undo of a")
    return run


def due(run: Run) -> Run:
    run.tick()
    return run


def test_nothing_waits_for_it_and_the_run_completes() -> None:
    run = Run.of(saga(delayed("a"), read("b")))
    assert run.ok("a") == ["a succeeded", "request b"]
    done_at = run.now
    run.now += 10 * SECOND
    assert run.ok("b") == ["b succeeded", "verify a later", "completed"]
    assert proof_of(run.get()) == "pending"
    assert next_due(run.plan, run.get()) == done_at + 7_200 * SECOND
    assert rests(run.plan, run.get())
    assert waited_for(run.plan, run.get()) == "verification of a: 2026-11-21T16:00:00.000000Z"
    assert run.doing() == []


def test_an_undo_is_believed_until_it_is_read_back() -> None:
    run = compensated()
    assert run.story[-3:] == ["undo of a verified by reply", "verify undo of a later", "compensated"]
    assert proof_of(run.get()) == "pending"
    assert (waited_for(run.plan, run.get()) or "").startswith("verification of the undo of a: ")
    due(run)
    assert run.finds("undo of a") == ["undo of a verified after the end"]
    assert proof_of(run.get()) == "proven"
    assert [each.verified_by for each in run.get().undone] == ["readback"]


def test_at_its_instant_it_is_asked_and_a_yes_proves_the_run() -> None:
    run = completed()
    assert run.tick() == ["ask about a later"]
    assert run.doing() == ["a.verify"]
    assert next_due(run.plan, run.get()) is None
    assert run.finds("a") == ["a verified after the end"]
    assert proof_of(run.get()) == "proven"
    assert (run.status, run.doing(), waited_for(run.plan, run.get())) == ("completed", [], None)
    assert run.effect("a").verified_by == "readback"


def test_what_a_late_read_back_saw_is_evidence_too() -> None:
    run = due(completed())
    assert run.finds("a", notes=(EVIDENCE,)) == ["evidence of a", "a verified after the end"]
    assert run.get().evidence == (f"{run.get().version}.0",)


def test_a_no_is_asked_again_for_as_long_as_read_backs_lag_and_then_flags_the_run() -> None:
    run = due(completed())
    begun = run.now
    told = run.denies("a")
    while told == ["ask about a later"]:
        told = run.denies("a")
    assert told == ["a not verified (None) after the end"]
    assert 0 < run.now - begun <= SECOND
    assert proof_of(run.get()) == "flagged"


def test_a_read_back_that_fails_says_why() -> None:
    run = due(completed())
    while proof_of(run.get()) == "pending":
        run.cannot_say("a")
    assert run.story[-1] == "a not verified (down) after the end"


def test_what_it_says_is_an_outcome_of_its_own() -> None:
    run = completed()
    first = outcome_of(run.get(), lambda _: None)
    due(run)
    assert not has_outcome(run.entries[-1].events)
    run.finds("a")
    assert has_outcome(run.entries[-1].events)
    amended = outcome_of(run.get(), lambda _: None)
    assert (first.proof, amended.proof) == ("pending", "proven")
    assert (amended.supersedes, amended.ended_at) == (first.outcome_id, first.ended_at)
    assert amended.outcome_id != first.outcome_id


def test_after_the_end_nothing_else_follows() -> None:
    run = due(completed())
    run.cancel()
    run.kill()
    run.finds("a")
    ended = next(n for n, entry in enumerate(run.entries) if has_outcome(entry.events))
    after = [type(event) for entry in run.entries[ended + 1 :] for event in entry.events]
    assert set(after) <= {LateReplyRecorded, RunResumed, VerificationRequested, OutcomeAmended}


def test_a_stop_of_the_owner_asks_again() -> None:
    run = due(completed())
    assert run.recovers() == ["resumed (recovery)", "ask about a later"]
    assert [command.number for command in run.wanted()] == [2]
    assert run.finds("a") == ["a verified after the end"]


def test_one_that_kills_its_worker_each_time_is_found_and_flags_the_run() -> None:
    run = due(completed())
    alone = "resumed (recovery) alone"
    assert run.recovers()[0] == "resumed (recovery)"
    assert is_suspect(run.plan, run.get(), clean=False)
    assert [run.recovers()[0], run.recovers()[0]] == [alone, alone]
    assert run.recovers() == [
        "resumed (recovery)",
        "a not verified (its worker died each time it was asked) after the end",
    ]
    assert proof_of(run.get()) == "flagged"
    assert run.recovers() == []


def test_one_whose_handler_is_missing_by_now_has_killed_nobody() -> None:
    run = due(completed())
    run.recovers()
    whole, run.plan = run.plan, plan_of(run.plan.form, missing=frozenset({"a.verify"}))
    assert [run.recovers() for _ in range(5)] == [[]] * 5
    run.plan = whole
    assert run.finds("a") == ["a verified after the end"]


def test_one_that_answers_in_between_is_no_suspect() -> None:
    run = due(completed())
    run.recovers()
    run.denies("a")
    assert not is_suspect(run.plan, run.get(), clean=False)
    assert run.recovers() == ["resumed (recovery)", "ask about a later"]
    run.finds("a")
    assert (run.get().unclean_stops, run.get().alone) == (0, 0)


def test_a_stop_before_its_instant_changes_nothing() -> None:
    assert completed().recovers() == []


def test_an_old_answer_changes_nothing() -> None:
    run = due(completed())
    command = run.command("a", asks=True)
    run.recovers()
    assert command.number == 1
    run.finds("a")
    assert proof_of(run.get()) == "proven"
    assert run.recovers() == []


def test_it_waits_for_its_handler() -> None:
    form = saga(delayed("a"), read("b"))
    run = Run.of(form, missing=frozenset({"a.verify"}))
    run.ok("a")
    run.ok("b")
    assert (next_due(run.plan, run.get()), missing_handler(run.plan, run.get(), run.now)) == (None, "a.verify")
    assert rests(run.plan, run.get())
    assert run.passes(AFTER_MS) == []
    run.plan = plan_of(form)
    assert run.passes(0) == ["ask about a later"]


def test_one_that_is_asked_and_lacks_its_handler_does_not_hold_up_another() -> None:
    form = saga(delayed("a", ()), read_back_later(action("b", ()), after_ms=2 * AFTER_MS), read("c", ()))
    run = Run.of(form)
    for path in ("a", "b", "c"):
        run.ok(path)
    due(run)
    run.plan = plan_of(form, missing=frozenset({"a.verify"}))
    assert run.recovers() == [], "nobody was asking it"
    assert rests(run.plan, run.get())
    assert missing_handler(run.plan, run.get(), run.now) is None
    assert run.tick() == ["ask about b later"]
    assert run.finds("b") == ["b verified after the end"]
    assert missing_handler(run.plan, run.get(), run.now) == "a.verify"


def test_what_is_done_by_hand_is_not_read_back() -> None:
    run = Run.of(saga(delayed("a")))
    run.unknown("a")
    run.resolve("a", "done_by_hand")
    assert (run.status, proof_of(run.get())) == ("completed", None)


@pytest.mark.parametrize(("held", "proof"), [(True, "proven"), (False, "flagged")])
def test_expectations_and_late_read_backs_count_together(*, held: bool, proof: str) -> None:
    run = Run.of(saga(delayed("a"), expect("paid")))
    run.ok("a")
    run.ok("paid", result=held)
    assert proof_of(run.get()) == ("pending" if held else "flagged")
    due(run)
    run.finds("a")
    assert proof_of(run.get()) == proof


def test_time_in_which_it_is_parked_does_not_count_and_a_reply_that_comes_then_counts_from_the_end() -> None:
    run = Run.of(saga(action("first", ()), delayed("a", ())))
    run.times_out("a")
    run.unknown("first")
    assert run.status == "parked"
    run.now += 10 * 7_200 * SECOND
    run.ok("a")
    run.now += 7_200 * SECOND
    run.resolve("first", "done_by_hand")
    assert run.story[-2:] == ["verify a later", "completed"]
    assert next_due(run.plan, run.get()) == run.now + 7_200 * SECOND


def test_a_killed_run_is_not_read_back() -> None:
    run = Run.of(saga(delayed("a"), read("b")))
    run.ok("a")
    run.kill()
    assert (next_due(run.plan, run.get()), proof_of(run.get())) == (None, None)
