"""A parked run, and every decision a person may take about it (rule 10)."""

from collections.abc import Callable

import pytest

from amends.coordinator.core.messages import ResolutionWished
from amends.coordinator.core.people import resolutions
from amends.schemas.events import Resolution
from tests.simulation.definitions import action, pivot, read, retriable, saga
from tests.simulation.run import Run


def in_doubt() -> Run:
    """Parked on the way forward: `b` promises nothing, and its reply was lost."""
    run = Run.of(saga(action("a"), action("b"), action("c")))
    run.ok("a")
    run.unknown("b")
    return run


def in_doubt_and_needed() -> Run:
    """The same, but `c` needs the result of `b`."""
    run = Run.of(saga(action("a"), action("b"), action("c", takes=("b",))))
    run.ok("a")
    run.unknown("b")
    return run


def behind_the_pivot() -> Run:
    run = Run.of(saga(pivot("pay"), retriable("ship")))
    run.ok("pay")
    run.refused("ship")
    return run


def limited_behind_the_pivot() -> Run:
    run = Run.of(saga(pivot("pay"), retriable("ship"), attempts=2))
    run.ok("pay")
    return run


def in_doubt_in_the_drain() -> Run:
    run = Run.of(saga(action("a"), action("b")))
    run.ok("a")
    run.cancel()
    run.unknown("b")
    return run


def running_in_the_drain() -> Run:
    run = Run.of(saga(action("a"), action("b")))
    run.ok("a")
    run.cancel()
    run.times_out("b")
    run.tick()
    return run


def came_out_in_the_drain() -> Run:
    run = running_in_the_drain()
    run.ok("b")
    return run


def pivot_in_doubt() -> Run:
    run = Run.of(saga(action("a"), pivot("pay"), read("look")))
    run.ok("a")
    run.cancel()
    run.unknown("pay")
    return run


def pivot_in_doubt_and_needed() -> Run:
    run = Run.of(saga(action("a"), pivot("pay"), read("look", takes=("pay",))))
    run.ok("a")
    run.cancel()
    run.unknown("pay")
    return run


def refused_undo() -> Run:
    """Parked while undoing: `c` is undone, `b` refuses, `a` remains."""
    run = Run.of(saga(*(action(step, undo_verify=False) for step in "abc"), read("bad")))
    for step in "abc":
        run.ok(step)
    run.refused("bad")
    run.ok("undo of c")
    run.refused("undo of b")
    return run


def undo_in_doubt() -> Run:
    run = Run.of(saga(action("a", undo_verify=False), action("b", undo_verify=False), read("bad")))
    run.ok("a")
    run.ok("b")
    run.refused("bad")
    run.unknown("undo of b")
    return run


def undo_running() -> Run:
    run = Run.of(saga(action("a", undo_verify=False), read("bad")))
    run.ok("a")
    run.refused("bad")
    run.times_out("undo of a")
    run.tick()
    return run


def undo_came_out() -> Run:
    run = undo_running()
    run.ok("undo of a")
    return run


def undo_of_the_unknown() -> Run:
    run = Run.of(saga(action("a", undo_takes_unknown=False)))
    run.raises("a")
    return run


@pytest.mark.parametrize(
    ("parked", "offered"),
    [
        pytest.param(in_doubt, "retry done_by_hand", id="in doubt"),
        pytest.param(in_doubt_and_needed, "retry", id="a hand leaves no result for who needs it"),
        pytest.param(behind_the_pivot, "retry done_by_hand", id="behind the pivot there is no way back"),
        pytest.param(limited_behind_the_pivot, "retry", id="a step never requested was not done by hand"),
        pytest.param(in_doubt_in_the_drain, "retry done_by_hand skip go_forward", id="in doubt in the drain"),
        pytest.param(running_in_the_drain, "retry skip go_forward", id="a hand would race with what still runs"),
        pytest.param(came_out_in_the_drain, "retry go_forward", id="a step that came out meanwhile needs no hand"),
        pytest.param(pivot_in_doubt, "retry done_by_hand skip", id="the pivot in doubt blocks the way forward"),
        pytest.param(pivot_in_doubt_and_needed, "retry skip", id="a hand leaves no result of the pivot either"),
        pytest.param(refused_undo, "retry done_by_hand skip go_forward", id="a refused undo"),
        pytest.param(undo_in_doubt, "retry done_by_hand skip", id="an undo that may have taken blocks the way forward"),
        pytest.param(undo_running, "retry skip", id="an undo that still runs"),
        pytest.param(undo_came_out, "retry go_forward", id="what came out meanwhile needs no hand"),
        pytest.param(undo_of_the_unknown, "retry done_by_hand skip go_forward", id="an undo that cannot be asked"),
        pytest.param(lambda: Run.of(saga(action("a"))), "", id="a run that is not parked"),
    ],
)
def test_what_a_person_may_decide(parked: Callable[[], Run], offered: str) -> None:
    run = parked()
    assert " ".join(resolutions(run.plan, run.get())) == offered
    for resolution in ("retry", "done_by_hand", "skip", "go_forward"):
        if resolution not in offered.split():
            before = run.get()
            step = before.parked.step if before.parked else "a"
            assert run.resolve(step, resolution) == [], f"{resolution} is refused"
            assert run.get() is before


@pytest.mark.parametrize(
    ("parked", "step", "resolution", "decided"),
    [
        pytest.param(in_doubt, "b", "retry", ["request b again"], id="in doubt, sent again under its key"),
        pytest.param(in_doubt, "b", "done_by_hand", ["b verified by person", "request c"], id="in doubt, done by hand"),
        pytest.param(behind_the_pivot, "ship", "retry", ["new key for ship", "request ship"], id="failed, anew"),
        pytest.param(
            behind_the_pivot, "ship", "done_by_hand", ["ship verified by person", "completed"], id="done by hand"
        ),
        pytest.param(in_doubt_in_the_drain, "b", "retry", ["request b again"], id="in the drain, sent again"),
        pytest.param(
            in_doubt_in_the_drain,
            "b",
            "done_by_hand",
            ["b settled: absent by person", "compensate a", "request undo of a"],
            id="in the drain a hand saw to it that nothing is there",
        ),
        pytest.param(
            in_doubt_in_the_drain, "b", "skip", ["compensate a", "request undo of a"], id="in the drain, left behind"
        ),
        pytest.param(in_doubt_in_the_drain, "b", "go_forward", ["parked forward: b (in_doubt)"], id="forward in doubt"),
        pytest.param(running_in_the_drain, "b", "retry", [], id="still running, awaited anew"),
        pytest.param(running_in_the_drain, "b", "skip", ["compensate a", "request undo of a"], id="left to run"),
        pytest.param(running_in_the_drain, "b", "go_forward", [], id="still running, awaited forward"),
        pytest.param(
            pivot_in_doubt,
            "pay",
            "done_by_hand",
            ["pay verified by person", "resumed (pivot_passed)", "request look"],
            id="the pivot done by hand leads forward",
        ),
        pytest.param(
            refused_undo, "b", "retry", ["new key for undo of b", "request undo of b"], id="the undo again, new key"
        ),
        pytest.param(
            refused_undo,
            "b",
            "done_by_hand",
            ["undo of b verified by person", "request undo of a"],
            id="undone by hand",
        ),
        pytest.param(refused_undo, "b", "skip", ["request undo of a"], id="left in the world, the next one"),
        pytest.param(
            refused_undo,
            "b",
            "go_forward",
            ["new key for undo of b", "new key for c", "new key for undo of c", "new key for bad", "request c"],
            id="forward: what was undone is done anew, what stands is kept",
        ),
        pytest.param(undo_in_doubt, "b", "retry", ["request undo of b again"], id="the same undo at one's own risk"),
        pytest.param(undo_came_out, "a", "retry", ["compensated"], id="it came out: the run goes on"),
        pytest.param(
            undo_of_the_unknown, "a", "done_by_hand", ["undo of a verified by person", "compensated"], id="by hand"
        ),
        pytest.param(undo_of_the_unknown, "a", "retry", ["parked undo: a (in_doubt)"], id="asked for nothing new"),
        pytest.param(limited_behind_the_pivot, "ship", "retry", ["request ship"], id="as much again"),
    ],
)
def test_what_follows_from_a_decision(
    parked: Callable[[], Run], step: str, resolution: Resolution, decided: list[str]
) -> None:
    assert parked().resolve(step, resolution) == [f"resolved {step}: {resolution}", *decided]


def test_a_decision_about_another_step_changes_nothing() -> None:
    assert refused_undo().resolve("a", "skip") == []


def test_a_decision_about_a_run_that_goes_on_changes_nothing() -> None:
    run = refused_undo()
    run.resolve("b", "skip")
    wish = ResolutionWished(step="b", resolution="skip", reason="twice", evidence=None)
    assert run.tell(wish) == []


def test_an_undo_that_was_skipped_unsent_does_not_bar_the_way_forward() -> None:
    run = Run.of(saga(action("b", (), undo_verify=False), action("a", (), undo_takes_unknown=False)))
    run.ok("b")
    run.raises("a")
    run.resolve("a", "skip")
    run.refused("undo of b")
    assert "go_forward" in resolutions(run.plan, run.get())


def test_an_undo_that_was_skipped_in_doubt_bars_the_way_forward() -> None:
    run = undo_in_doubt()
    run.resolve("b", "skip")
    run.refused("undo of a")
    assert "go_forward" not in resolutions(run.plan, run.get())


def test_a_skipped_undo_stays_in_the_world_and_the_run_ends_compensated() -> None:
    run = refused_undo()
    run.resolve("b", "skip")
    assert run.ok("undo of a")[-1] == "compensated"
    assert [each.step for each in run.get().undone] == ["c", "a"]
    assert run.effect("undo of b").phase == "skipped"
    assert run.effect("b").since is not None


def test_what_a_hand_undid_is_undone_in_its_place() -> None:
    run = refused_undo()
    run.resolve("b", "done_by_hand")
    run.ok("undo of a")
    assert [(each.step, each.verified_by) for each in run.get().undone] == [
        ("c", "reply"),
        ("b", "person"),
        ("a", "reply"),
    ]


def test_a_retried_undo_has_all_its_attempts_again() -> None:
    run = Run.of(saga(action("a", undo_attempts=2), read("bad")))
    run.ok("a")
    run.refused("bad")
    run.unavailable("undo of a")
    run.tick()
    assert run.unavailable("undo of a")[-1] == "parked undo: a (unavailable)"
    run.resolve("a", "retry")
    assert run.unavailable("undo of a")[-1] == "retry undo of a"
    run.tick()
    assert run.unavailable("undo of a")[-1] == "parked undo: a (unavailable)"


def test_a_run_sent_forward_has_its_whole_time_and_forgets_why_it_turned_back() -> None:
    run = refused_undo()
    whole_us = run.get().deadline_at - run.get().started_at
    run.passes(3_600_000)
    run.resolve("b", "go_forward")
    state = run.get()
    assert (state.status, state.cause, state.failure, state.undo_list, state.undone) == (
        "running",
        None,
        None,
        None,
        (),
    )
    assert state.deadline_at == run.now + whole_us
    run.ok("c")
    assert run.ok("bad")[-1] == "completed"


def test_a_run_sent_forward_may_turn_back_again_and_undoes_what_stands_then() -> None:
    run = refused_undo()
    run.resolve("b", "go_forward")
    run.ok("c")
    run.refused("bad")
    assert run.story[-3:] == ["drain (failed)", "compensate c, b, a", "request undo of c"]
    assert run.effect("undo of c").generation == 1


def test_what_was_skipped_behind_a_step_done_anew_is_looked_at_again() -> None:
    run = Run.of(saga(action("a", undo_verify=False), read("look"), action("b", undo_verify=False), read("bad")))
    run.ok("a")
    run.ok("look")
    run.ok("b")
    run.refused("bad")
    run.ok("undo of b")
    run.refused("undo of a")
    assert run.resolve("a", "go_forward")[-1] == "request b"
    assert run.effect("look").phase == "done", "nothing before it is done anew"
    run = Run.of(saga(action("a", undo_verify=False), read("look"), action("b", undo_verify=False), read("bad")))
    run.ok("a")
    run.ok("look")
    run.ok("b")
    run.refused("bad")
    run.refused("undo of b")
    run.resolve("b", "skip")
    run.refused("undo of a")
    assert run.resolve("a", "go_forward")[-1] == "request bad"


def test_what_only_reads_behind_a_step_done_anew_is_read_again() -> None:
    run = Run.of(saga(action("a", undo_verify=False), action("b", undo_verify=False), read("look"), read("bad")))
    for step in ("a", "b", "look"):
        run.ok(step)
    run.refused("bad")
    run.ok("undo of b")
    run.refused("undo of a")
    decided = run.resolve("a", "go_forward")
    assert "new key for look" in decided
    assert decided[-1] == "request b"
    assert (run.effect("b").generation, run.effect("look").phase) == (1, "idle")


def test_a_retry_after_a_definite_failure_goes_out_under_the_next_key() -> None:
    run = refused_undo()
    run.resolve("b", "retry")
    assert (run.effect("undo of b").generation, run.effect("undo of b").attempt) == (1, 2)


def test_a_doubt_left_in_the_drain_is_settled_when_a_person_sends_the_run_forward() -> None:
    run = Run.of(saga(action("a", undo_verify=False), action("b", lookup=True, settle_within_ms=5_000)))
    run.ok("a")
    run.cancel()
    run.unknown("b")
    while run.status == "compensating":
        run.cannot_say("b")
    run.resolve("b", "skip")
    run.refused("undo of a")
    assert run.resolve("a", "go_forward") == [
        "resolved a: go_forward",
        "new key for undo of a",
        "new key for undo of b",
    ]
    assert run.doing() == ["b.lookup"]
    assert run.finds("b") == ["b settled: present by lookup", "completed"]


def test_an_outcome_supersedes_the_one_before() -> None:
    run = refused_undo()
    parked_at = len(run.entries)
    assert (run.get().outcome_version, run.get().superseded_version) == (parked_at, None)
    run.resolve("b", "skip")
    run.ok("undo of a")
    assert (run.get().outcome_version, run.get().superseded_version) == (len(run.entries), parked_at)


def test_what_is_parked_is_told_since_when_and_why() -> None:
    run = refused_undo()
    parked = run.get().parked
    assert parked is not None
    assert (parked.phase, parked.step, parked.kind, parked.why, parked.since) == ("undo", "b", "refused", "no", run.now)


def test_facts_are_recorded_while_parked_and_nothing_is_requested() -> None:
    run = Run.of(saga(action("a", ()), action("b", ()), action("c", ("a",))))
    run.unknown("b")
    assert run.status == "parked"
    assert run.ok("a") == ["a succeeded"]
    assert run.resolve("b", "retry") == ["resolved b: retry", "request b again", "request c"]


def test_a_run_does_not_go_forward_beside_an_undo_that_a_person_gave_up_while_it_was_read_back() -> None:
    run = Run.of(saga(action("a", undo_attempts=1), action("b"), read("bad")))
    run.ok("a")
    run.ok("b")
    run.refused("bad")
    run.ok("undo of b")
    while run.status != "parked":
        run.recovers()
    assert run.resolve("b", "skip") == ["resolved b: skip", "request undo of a"]
    run.unavailable("undo of a")
    assert resolutions(run.plan, run.get()) == ("retry", "done_by_hand", "skip")
