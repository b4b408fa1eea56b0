"""What is expected is asked once everything is done; it proves or flags the run, and undoes nothing."""

from collections.abc import Callable

import pytest

from amends.coordinator.core.commands import missing_handler, next_due
from amends.coordinator.core.people import may_cancel
from amends.coordinator.core.plan import plan_of
from amends.coordinator.core.proof import proof_of
from amends.coordinator.definition.expression import Compare, Reference, Value
from amends.schemas.events import Proof
from amends.schemas.instants import SECOND
from tests.simulation.definitions import action, expect, pivot, read, saga
from tests.simulation.run import Run

NEVER = Compare(left=Reference(step=None, field="dice"), how=">", right=Value(value=9))


def asking() -> Run:
    run = Run.of(saga(action("a"), expect("paid"), expect("shipped", ("a",))))
    run.ok("a")
    return run


def both(paid: object, shipped: object) -> Run:
    run = asking()
    run.ok("paid", paid)
    run.ok("shipped", shipped)
    return run


def refused() -> Run:
    run = asking()
    run.ok("shipped", result=True)
    run.refused("paid")
    return run


def never_answers() -> Run:
    run = asking()
    run.ok("shipped", result=True)
    for _ in range(3):
        run.raises("paid")
        if run.status == "running":
            run.tick()
    return run


@pytest.mark.parametrize(
    ("story", "proof", "message"),
    [
        pytest.param(lambda: both(paid=True, shipped=True), "proven", None, id="all of it holds"),
        pytest.param(lambda: both(paid=False, shipped=True), "flagged", None, id="one does not hold"),
        pytest.param(lambda: both(paid="yes", shipped=True), "flagged", None, id="only True is yes"),
        pytest.param(refused, "flagged", "no", id="one cannot be answered"),
        pytest.param(never_answers, "flagged", "ValueError", id="one is never answered, with all its attempts"),
    ],
)
def test_a_run_completes_and_is_proven_or_flagged(story: Callable[[], Run], proof: Proof, message: str | None) -> None:
    run = story()
    assert run.status == "completed"
    assert proof_of(run.get()) == proof
    assert {path: each.message for path, each in (run.get().expectations or {}).items()} == {
        "paid": message,
        "shipped": None,
    }


def test_a_run_of_which_nothing_is_expected_is_unproven() -> None:
    run = Run.of(saga(action("a")))
    run.ok("a")
    assert proof_of(run.get()) is None


def test_nothing_is_asked_before_everything_is_done() -> None:
    run = Run.of(saga(action("a"), read("look", ()), expect("paid", ("a", "look"))))
    run.ok("a")
    assert run.doing() == ["look"]
    assert run.ok("look") == ["look succeeded", "request paid"]


def test_what_was_expected_stands_in_the_entry_that_ends_the_run() -> None:
    run = asking()
    run.ok("paid", result=False)
    assert run.ok("shipped", result=True) == [
        "shipped succeeded",
        "paid not held (None)",
        "shipped held",
        "completed",
    ]


def test_nothing_is_undone_by_the_deadline_while_it_is_asked() -> None:
    run = Run.of(saga(action("a"), expect("paid"), deadline_ms=10_000))
    run.ok("a")
    assert next_due(run.plan, run.get()) is None
    assert run.passes(20_000) == []
    assert run.ok("paid", result=True) == ["paid succeeded", "paid held", "completed"]


def test_nor_by_a_person() -> None:
    run = asking()
    why = may_cancel(run.plan, run.get())
    assert why == "everything is done, and it is only asked whether it is as expected"
    assert run.cancel() == []


def test_a_run_that_turns_back_is_not_asked() -> None:
    run = Run.of(saga(action("a"), read("bad"), expect("paid")))
    run.ok("a")
    run.refused("bad")
    run.ok("undo of a")
    run.finds("undo of a")
    assert run.status == "compensated"
    assert proof_of(run.get()) is None


def test_a_stop_of_the_owner_asks_again_and_uses_no_attempt() -> None:
    run = Run.of(saga(action("a"), expect("paid", attempts=1)))
    run.ok("a")
    assert run.recovers()[1:] == ["paid failed (withdrawn)", "retry paid"]
    run.tick()
    assert run.ok("paid", result=True)[-1] == "completed"


def test_it_is_asked_from_the_reserve_and_flagged_beyond_it() -> None:
    run = Run.of(saga(action("a"), expect("paid"), attempts=2))
    assert run.ok("a") == ["a succeeded", "request paid"]
    run = Run.of(saga(pivot("a"), expect("paid"), expect("shipped", ("a",)), attempts=2))
    assert run.ok("a")[-2:] == ["limit: attempts", "shipped not held (it was not asked: all 2 attempts are used)"]
    run.ok("paid", result=True)
    assert (run.status, proof_of(run.get())) == ("completed", "flagged")


def test_what_needs_a_step_that_was_skipped_is_skipped_with_it() -> None:
    run = Run.of(
        saga(action("a"), read("gift", when=NEVER), expect("paid"), expect("wrapped", ("a", "gift"), takes=("gift",))),
        trigger={"dice": 1},
    )
    run.ok("a")
    assert "wrapped skipped (gift)" in run.story
    run.ok("paid", result=True)
    assert proof_of(run.get()) == "proven"


def test_the_run_waits_for_its_handler_and_is_not_turned_back_meanwhile() -> None:
    form = saga(action("a"), expect("paid"), deadline_ms=10_000)
    run = Run.of(form, missing=frozenset({"paid"}))
    run.ok("a")
    assert missing_handler(run.plan, run.get(), run.now) == "paid"
    assert next_due(run.plan, run.get()) is None
    run.now += 60 * SECOND
    run.plan = plan_of(form)
    assert run.passes(0) == ["request paid"]
