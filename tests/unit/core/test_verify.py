"""A step's own read-back holds back its dependants; false at the end means in doubt (rule 9)."""

import pytest

from amends.coordinator.core.messages import No, NoAnswer, ReadBack, Yes
from amends.schemas import events as e
from amends.schemas.instants import MILLISECOND, instant_of
from tests.simulation.definitions import action, pivot, retriable, saga
from tests.simulation.run import BEGIN, Run


def verified(*, key: bool = False, lookup: bool = False) -> Run:
    """A run whose first step says it is done, and is being read back."""
    run = Run.of(saga(action("pay", verify=True, within_ms=1_000, key=key, lookup=lookup), action("ship")))
    assert run.ok("pay") == ["pay succeeded"]
    return run


def denied_to_the_end(run: Run, what: str = "pay") -> list[str]:
    """The read-back says no until its time is over."""
    for _ in range(50):
        decided = run.denies(what)
        if not decided[0].startswith("ask about"):
            return decided
    raise AssertionError("the read-back is asked for ever")


def test_dependants_wait_for_the_read_back() -> None:
    run = verified()
    assert run.doing() == ["pay.verify"]
    assert run.finds("pay") == ["pay verified by readback", "request ship"]


def test_a_read_back_is_asked_a_last_time_when_its_time_is_just_over() -> None:
    run = Run.of(saga(action("pay", verify=True, within_ms=100)))
    run.ok("pay")
    assert run.denies("pay") == ["ask about pay later"]
    assert run.denies("pay")[0] == "pay in doubt (verify_false)"


def test_a_read_back_may_lag_and_is_asked_ever_less_often() -> None:
    run = verified()
    done_at = run.now
    while run.denies("pay")[0] == "ask about pay later":
        pass
    asked = [instant_of(event.due_at) for event in run.events if isinstance(event, e.RetryScheduled)]
    waits = [(later - sooner) // MILLISECOND for sooner, later in zip([done_at, *asked], asked, strict=False)]
    assert waits[0] == 100
    assert waits == sorted(waits)
    assert max(asked) <= done_at + 1_000 * MILLISECOND
    assert "pay in doubt (verify_false)" in run.story


def test_a_read_back_that_fails_is_asked_again() -> None:
    run = verified()
    assert run.cannot_say("pay") == ["ask about pay later"]
    assert run.finds("pay")[0] == "pay verified by readback"


def test_the_message_tells_a_silent_read_back_from_one_that_denies() -> None:
    silent, denying = verified(), verified()
    while silent.cannot_say("pay")[0] == "ask about pay later":
        pass
    denied_to_the_end(denying)

    def message(run: Run) -> str:
        return next(event.message for event in run.events if isinstance(event, e.StepInDoubt))

    assert message(silent) == "down, for 1000 ms"
    assert message(denying) == "the read-back says no, for 1000 ms"


def test_denied_to_the_end_with_nothing_to_settle_it_a_person_decides() -> None:
    assert denied_to_the_end(verified()) == ["pay in doubt (verify_false)", "parked forward: pay (in_doubt)"]


def test_denied_to_the_end_the_same_request_goes_out_again_where_the_key_is_known() -> None:
    run = verified(key=True)
    assert denied_to_the_end(run) == ["pay in doubt (verify_false)", "retry pay"]
    assert run.tick() == ["request pay again"]
    run.ok("pay")
    assert run.finds("pay")[0] == "pay verified by readback"


def test_what_the_lookup_finds_is_read_back_too() -> None:
    run = verified(lookup=True)
    denied_to_the_end(run)
    assert run.doing() == ["pay.lookup"]
    assert run.finds("pay") == ["pay settled: present by lookup"]
    assert run.doing() == ["pay.verify"]
    assert run.finds("pay") == ["pay verified by readback", "request ship"]


def test_a_lookup_and_a_read_back_that_contradict_each_other_end_with_a_person() -> None:
    run = Run.of(saga(action("pay", verify=True, lookup=True, settle_within_ms=5_000), action("ship")))
    run.ok("pay")
    while run.status == "running":
        denied_to_the_end(run)
        run.finds("pay")
    assert run.story[-1] == "parked forward: pay (in_doubt)"
    assert BEGIN + 5_000 * MILLISECOND < run.now < BEGIN + 7_000 * MILLISECOND


def test_a_run_that_turned_back_does_not_read_back_what_it_undoes() -> None:
    run = Run.of(saga(action("a", (), verify=True), action("b", ())))
    run.ok("a")
    assert run.refused("b") == ["b failed (refused)", "drain (failed)", "compensate a", "request undo of a"]
    assert run.doing() == ["a.undo"]


def test_a_reply_in_the_drain_needs_no_read_back() -> None:
    run = Run.of(saga(action("a", verify=True)))
    run.cancel()
    assert run.ok("a") == ["a succeeded", "compensate a", "request undo of a"]


def test_the_pivot_is_read_back_also_in_the_drain() -> None:
    run = Run.of(saga(pivot("pay", verify=True), retriable("ship")))
    run.cancel()
    assert run.ok("pay") == ["pay succeeded", "resumed (pivot_passed)"]
    assert run.doing() == ["pay.verify"]
    assert run.finds("pay") == ["pay verified by readback", "request ship"]


@pytest.mark.parametrize("answer", [Yes(), No(), NoAnswer(message="down")], ids=["yes", "no", "none"])
def test_the_answer_to_an_old_question_changes_nothing(answer: Yes | No | NoAnswer) -> None:
    run = verified()
    old = run.command("pay", asks=True)
    run.denies("pay")
    late = ReadBack(path="pay", direction="forward", role="verify", asked=old.number, answer=answer)
    assert run.tell(late) == []
