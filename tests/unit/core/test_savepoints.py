"""A parked run is undone as far as a step, and goes forward again from there (rules 8 to 10)."""

from collections.abc import Callable

import pytest
from msgspec import UNSET

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.messages import SavepointWished
from amends.coordinator.core.people import may_cancel, resolutions
from amends.coordinator.core.savepoints import savepoints, why_no_savepoint, why_not_back_to
from amends.coordinator.definition.form import Argument, StepForm
from amends.schemas.instants import MILLISECOND, SECOND
from tests.simulation.definitions import action, for_each, pivot, read, retriable, saga, wait
from tests.simulation.run import Run


def acts(path: str, after: tuple[str, ...] | None = None) -> StepForm:
    """An action whose undo is believed on its reply."""
    return action(path, undo_verify=False) if after is None else action(path, after, undo_verify=False)


def waited_in_vain() -> Run:
    """Parked on the way forward with nothing in doubt: `a`, `b` and what `look` read are there, no message came."""
    run = Run.of(saga(acts("a"), acts("b"), read("look"), wait("w", on_timeout="park")), trigger={"order": "A-1"})
    for step in ("a", "b", "look"):
        run.ok(step)
    run.tick()
    return run


def in_doubt() -> Run:
    """Parked on the way forward: `b` promises nothing, and its reply was lost."""
    run = Run.of(saga(acts("a"), acts("b"), acts("c")))
    run.ok("a")
    run.unknown("b")
    return run


def refused_undo() -> Run:
    """Parked while undoing: `c` is undone, `b` refuses, `a` remains."""
    run = Run.of(saga(acts("a"), acts("b"), acts("c"), read("bad")))
    for step in "abc":
        run.ok(step)
    run.refused("bad")
    run.ok("undo of c")
    run.refused("undo of b")
    return run


def undo_in_doubt() -> Run:
    run = Run.of(saga(acts("a"), acts("b"), read("bad")))
    run.ok("a")
    run.ok("b")
    run.refused("bad")
    run.unknown("undo of b")
    return run


def side_by_side() -> Run:
    """`b` and `c` follow `a`; `d` follows `b`. Parked for want of a message, when all of them are done."""
    run = Run.of(
        saga(acts("a"), acts("b", ("a",)), acts("c", ("a",)), acts("d", ("b",)), wait("w", ("d",), on_timeout="park")),
        trigger={"order": "A-1"},
    )
    for step in "abcd":
        run.ok(step)
    run.tick()
    return run


def items() -> Run:
    """Two of three parcels are booked one after the other, then a message does not come."""
    order = saga(
        acts("a"),
        for_each("parcels", acts("parcels/book"), items=Argument(source="trigger", field="items"), concurrency=1),
        wait("w", on_timeout="park"),
    )
    run = Run.of(order, trigger={"order": "A-1", "items": ["x", "y", "z"]})
    for step in ("a", "parcels[0]/book", "parcels[1]/book", "parcels[2]/book"):
        run.ok(step)
    run.tick()
    return run


def met_in_between() -> Run:
    """`w` waits beside `a` and `b`, one after the other; when both and the message are there, another does not come."""
    run = Run.of(
        saga(acts("a", ()), acts("b", ("a",)), wait("w", ()), wait("x", ("b", "w"), on_timeout="park")),
        trigger={"order": "A-1"},
    )
    run.now += SECOND
    run.ok("a")
    run.ok("b")
    run.receives("w", "A-1")
    run.tick()
    return run


def acted_on_a_message() -> Run:
    """`b` has acted on what came for `w`, which was awaited after `a`."""
    run = Run.of(saga(acts("a"), wait("w"), acts("b"), wait("x", on_timeout="park")), trigger={"order": "A-1"})
    run.ok("a")
    run.receives("w", "A-1")
    run.ok("b")
    run.tick()
    return run


def behind_the_pivot() -> Run:
    run = Run.of(saga(acts("a"), pivot("pay"), retriable("ship")))
    run.ok("a")
    run.ok("pay")
    run.refused("ship")
    return run


def pivot_in_doubt() -> Run:
    run = Run.of(saga(acts("a"), pivot("pay")))
    run.ok("a")
    run.unknown("pay")
    return run


def pivot_under_way() -> Run:
    run = Run.of(
        saga(acts("a"), pivot("pay", ("a",)), wait("w", ("a",), on_timeout="park", timeout_ms=500)),
        trigger={"order": "A-1"},
    )
    run.ok("a")
    run.tick()
    return run


def undo_given_up() -> Run:
    """The undo of `b` may have taken: a person left it."""
    run = undo_in_doubt()
    run.resolve("b", "skip")
    run.refused("undo of a")
    return run


@pytest.mark.parametrize(
    ("parked", "offered"),
    [
        pytest.param(waited_in_vain, "a b look", id="every step that is done"),
        pytest.param(in_doubt, "a", id="not the one in doubt"),
        pytest.param(refused_undo, "a b", id="the one whose undo was refused still stands, the undone one does not"),
        pytest.param(undo_in_doubt, "a", id="not the one whose undo may have taken"),
        pytest.param(items, "a parcels parcels[0]/book parcels[1]/book parcels[2]/book", id="items, and all of them"),
        pytest.param(behind_the_pivot, "", id="none behind the pivot"),
        pytest.param(pivot_in_doubt, "", id="none while the pivot is in doubt"),
        pytest.param(pivot_under_way, "", id="none while the pivot is under way"),
        pytest.param(undo_given_up, "", id="none when an undo that was given up may have taken"),
        pytest.param(lambda: Run.of(saga(acts("a"))), "", id="none of a run that is not parked"),
    ],
)
def test_what_a_parked_run_may_be_undone_to(parked: Callable[[], Run], offered: str) -> None:
    run = parked()
    before = run.get()
    assert " ".join(savepoints(run.plan, before)) == offered
    for step in run.plan.of(before).form.steps:
        if step.path not in offered.split():
            assert run.undo_to(step.path) == [], f"{step.path} is refused"
            assert run.get() is before


@pytest.mark.parametrize(
    ("parked", "step", "why"),
    [
        (waited_in_vain, "w", "'w' is not done"),
        (waited_in_vain, "nothing", "it has no step 'nothing'"),
        (refused_undo, "c", "'c' is undone already"),
        (undo_in_doubt, "b", "the undo of 'b' has begun and is not over"),
        (items, "parcels[3]/book", "it has no step 'parcels[3]/book'"),
    ],
)
def test_why_it_may_not(parked: Callable[[], Run], step: str, why: str) -> None:
    run = parked()
    assert why_no_savepoint(run.plan, run.get()) is None
    assert why_not_back_to(run.plan.of(run.get()), run.get(), step) == why


@pytest.mark.parametrize(
    ("parked", "step", "decided"),
    [
        pytest.param(
            waited_in_vain,
            "b",
            ["undo to b", "compensate nothing", "forward from b", "new key for look", "new key for w", "request look"],
            id="nothing is to be undone, what was read is read anew",
        ),
        pytest.param(
            waited_in_vain,
            "look",
            ["undo to look", "compensate nothing", "forward from look", "new key for w", "wait w"],
            id="what comes before is kept",
        ),
        pytest.param(
            waited_in_vain, "a", ["undo to a", "compensate b", "request undo of b"], id="what came after is undone"
        ),
        pytest.param(side_by_side, "a", ["undo to a", "compensate d, c, b", "request undo of d"], id="in reverse"),
        pytest.param(
            side_by_side, "b", ["undo to b", "compensate d, c", "request undo of d"], id="what only came later, too"
        ),
        pytest.param(side_by_side, "c", ["undo to c", "compensate d", "request undo of d"], id="what came before not"),
        pytest.param(
            met_in_between,
            "w",
            ["undo to w", "compensate b", "request undo of b"],
            id="what was asked for after a wait had begun, and not what was before",
        ),
        pytest.param(
            items,
            "parcels[1]/book",
            ["undo to parcels[1]/book", "compensate parcels[2]/book", "request undo of parcels[2]/book"],
            id="the items that came after",
        ),
        pytest.param(
            items,
            "parcels",
            ["undo to parcels", "compensate nothing", "forward from parcels", "new key for w", "wait w"],
            id="behind all items",
        ),
        pytest.param(in_doubt, "a", ["undo to a", "parked undo: b (in_doubt)"], id="doubt is settled first, or parks"),
        pytest.param(
            refused_undo,
            "a",
            ["undo to a", "compensate c, b", "new key for undo of b", "request undo of b"],
            id="the refused undo again, with a new key",
        ),
        pytest.param(
            refused_undo,
            "b",
            [
                "undo to b",
                "compensate c",
                "new key for undo of b",
                "forward from b",
                "new key for c",
                "new key for undo of c",
                "new key for bad",
                "request c",
            ],
            id="what is undone already is enough",
        ),
    ],
)
def test_it_is_undone_as_far_as_a_step(parked: Callable[[], Run], step: str, decided: list[str]) -> None:
    run = parked()
    assert run.undo_to(step) == decided


def test_it_goes_forward_again_under_new_keys_once_all_behind_the_step_is_undone_and_verified() -> None:
    run = Run.of(saga(acts("a"), action("b"), acts("c"), wait("w", on_timeout="park")), trigger={"order": "A-1"})
    for step in "abc":
        run.ok(step)
    run.tick()
    key = run.effect("b").key
    run.undo_to("a")
    assert run.status == "compensating"
    assert run.ok("undo of c") == ["undo of c succeeded", "undo of c verified by reply", "request undo of b"]
    assert run.ok("undo of b") == ["undo of b succeeded"]
    assert run.finds("undo of b") == [
        "undo of b verified by readback",
        "forward from a",
        "new key for b",
        "new key for undo of b",
        "new key for c",
        "new key for undo of c",
        "new key for w",
        "request b",
    ]
    assert run.status == "running"
    assert run.effect("a").phase == "done"
    assert run.effect("b").generation == 1
    assert run.effect("b").key != key
    run.ok("b")
    run.ok("c")
    assert run.receives("w", "A-1") == ["message m-A-1 for w", "w succeeded", "completed"]


def test_what_was_waited_for_behind_the_step_is_awaited_anew() -> None:
    run = acted_on_a_message()
    run.undo_to("a")
    assert run.ok("undo of b")[2:] == [
        "forward from a",
        "new key for w",
        "new key for b",
        "new key for undo of b",
        "new key for x",
        "wait w",
    ]
    assert [run.effect(path).generation for path in ("a", "w", "b")] == [0, 1, 1]


def test_a_refused_undo_has_the_next_key_when_it_is_done_again() -> None:
    run = refused_undo()
    run.undo_to("a")
    assert run.effect("undo of b").generation == 1


def test_a_doubt_is_settled_before_anything_behind_the_step_is_undone() -> None:
    run = Run.of(saga(acts("a"), acts("b", ("a",)), action("c", ("a",), lookup=True, settle_within_ms=500)))
    run.ok("a")
    run.ok("b")
    run.unknown("c")
    while run.status != "parked":
        run.cannot_say("c")
    assert run.undo_to("a") == ["undo to a"]
    assert run.doing() == ["c.lookup"]
    assert run.finds("c") == ["c settled: present by lookup", "compensate c, b", "request undo of c"]


def test_an_undo_that_fails_parks_the_run_anew_and_every_decision_leads_on() -> None:
    run = waited_in_vain()
    run.undo_to("a")
    assert run.refused("undo of b") == ["undo of b failed (refused)", "parked undo: b (refused)"]
    assert savepoints(run.plan, run.get()) == ("a", "b", "look")
    assert run.resolve("b", "retry") == ["resolved b: retry", "new key for undo of b", "request undo of b"]
    assert run.ok("undo of b")[-1] == "request b"


@pytest.mark.parametrize(
    ("resolution", "decided"),
    [
        ("done_by_hand", "undo of b verified by person; forward from a; new key for b; new key for undo of b"),
        ("skip", "forward from a; new key for undo of b; new key for look"),
        ("go_forward", "new key for undo of b; new key for w"),
    ],
)
def test_a_failed_undo_on_the_way_to_the_step_is_decided_like_any_other(resolution: str, decided: str) -> None:
    run = waited_in_vain()
    run.undo_to("a")
    run.refused("undo of b")
    assert "; ".join(run.resolve("b", resolution)[1:]).startswith(decided)  # type: ignore[arg-type]  # the table's words
    assert run.status == "running"
    assert run.get().savepoint is UNSET


def test_an_undo_that_may_have_taken_is_not_left_behind_by_a_run_that_will_go_forward() -> None:
    run = waited_in_vain()
    run.undo_to("a")
    run.unknown("undo of b")
    assert resolutions(run.plan, run.get()) == ("retry", "done_by_hand")


def test_another_step_further_back_may_be_chosen_on_the_way() -> None:
    run = Run.of(saga(acts("a"), acts("b"), acts("c"), wait("w", on_timeout="park")), trigger={"order": "A-1"})
    for step in "abc":
        run.ok(step)
    run.tick()
    run.undo_to("b")
    run.refused("undo of c")
    assert run.undo_to("a") == ["undo to a", "compensate c, b", "new key for undo of c", "request undo of c"]


def test_cancelling_on_the_way_makes_it_a_whole_compensation() -> None:
    run = waited_in_vain()
    run.undo_to("a")
    assert may_cancel(run.plan, run.get()) is None
    assert run.cancel() == ["drain (cancelled)", "compensate b, a"]
    assert run.ok("undo of b") == ["undo of b succeeded", "undo of b verified by reply", "request undo of a"]
    assert run.ok("undo of a")[-1] == "compensated"
    assert run.get().cause == "cancelled"


def test_what_is_undone_already_is_not_undone_again_when_it_becomes_a_whole_compensation() -> None:
    run = Run.of(saga(acts("a"), acts("b"), acts("c"), wait("w", on_timeout="park")), trigger={"order": "A-1"})
    for step in "abc":
        run.ok(step)
    run.tick()
    run.undo_to("a")
    run.ok("undo of c")
    run.refused("undo of b")
    assert may_cancel(run.plan, run.get()) is None
    assert run.cancel() == ["drain (cancelled)", "compensate c, b, a", "parked undo: b (refused)"]
    run.resolve("b", "retry")
    run.ok("undo of b")
    run.ok("undo of a")
    assert [each.step for each in run.get().undone] == ["c", "b", "a"]
    assert run.status == "compensated"


def test_the_deadline_on_the_way_makes_it_a_whole_compensation() -> None:
    run = Run.of(saga(acts("a"), acts("b"), wait("w", on_timeout="park"), deadline_ms=60_000), trigger={"order": "A-1"})
    run.ok("a")
    run.ok("b")
    run.tick()
    run.now += 7_200 * SECOND
    run.undo_to("a")
    chosen_at = run.now
    assert next_due(run.plan, run.get()) == chosen_at + 60_000 * MILLISECOND, "a person's decision gives it its time"
    assert run.passes(60_000) == ["drain (deadline)", "compensate b, a"]
    assert run.get().cause == "deadline"


def test_it_has_its_whole_time_again_when_it_goes_forward() -> None:
    run = Run.of(saga(acts("a"), acts("b"), wait("w", on_timeout="park"), deadline_ms=60_000), trigger={"order": "A-1"})
    run.ok("a")
    run.ok("b")
    run.tick()
    run.undo_to("a")
    run.now += 50 * SECOND
    run.ok("undo of b")
    assert run.get().deadline_at == run.now + 60 * SECOND


def test_a_stop_of_the_owner_on_the_way_changes_nothing_but_the_attempt() -> None:
    run = Run.of(saga(acts("a"), action("b"), wait("w", on_timeout="park")), trigger={"order": "A-1"})
    run.ok("a")
    run.ok("b")
    run.tick()
    run.undo_to("a")
    run.recovers()
    run.finds("undo of b")
    assert run.story[-1] == "request b"


def test_a_wish_that_comes_when_the_run_is_not_parked_any_more_changes_nothing() -> None:
    run = waited_in_vain()
    run.resolve("w", "retry")
    assert run.tell(SavepointWished(step="a", reason="too late")) == []
