"""What each event changes of the whole run, and that it changes nothing else: every field is set before it."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from amends.coordinator.core.evolve import evolve
from amends.coordinator.core.state import Doubt, Effect, Parked, Phase, State
from amends.schemas import events as e
from amends.schemas.ids import Direction
from amends.schemas.instants import SECOND, instant_of
from tests.unit.core.evolving import BEGAN, DOUBT, DUE, EFFECT, MOMENT, NOW, PARKED, PROGRESS, SHIFTED, STATE, effects


def test_a_run_begins_with_all_that_its_trigger_said() -> None:
    blank = State(
        namespace="default", saga_id=STATE.saga_id, saga="order", definition_version=1, definition_hash="hash"
    )
    origin = e.Origin(topic="orders", partition=3, offset=118)
    event = e.SagaStarted(
        idempotency_key="R-77",
        business_key="A-12",
        generation=2,
        origin=origin,
        trigger="sha256:trigger",
        request_digest="sha256:request",
        deadline_at=DUE,
        shard=5,
        traceparent="00-trace",
    )
    assert evolve(blank, event, MOMENT) == replace(
        blank,
        idempotency_key="R-77",
        business_key="A-12",
        generation=2,
        origin=origin,
        trigger="sha256:trigger",
        request_digest="sha256:request",
        deadline_at=instant_of(DUE),
        shard=5,
        traceparent="00-trace",
        started_at=NOW,
        running_since=NOW,
    )


def test_a_decision_about_a_run_that_is_not_parked_shifts_no_time() -> None:
    after = evolve(STATE, e.ParkingResolved(step="a", resolution="done_by_hand", reason=None, evidence=None), MOMENT)
    assert (after.deadline_at, after.running_since, after.forward) == (
        STATE.deadline_at,
        STATE.running_since,
        STATE.forward,
    )


TURNED_BACK: Final = e.DrainStarted(cause="cancelled", failure=None, reason="changed their mind")


def test_the_drain_begins() -> None:
    before = replace(STATE, status="running", cause=None, draining=False, undo_list=None)
    expected = replace(
        before, status="compensating", draining=True, cause="cancelled", failure=None, reason="changed their mind"
    )
    assert evolve(before, TURNED_BACK, MOMENT) == expected


@pytest.mark.parametrize(
    ("doubt", "phase"), [(DOUBT, "in_doubt"), (replace(DOUBT, loose=False), "ended")], ids=["loose", "ended"]
)
def test_the_drain_settles_afresh_what_was_put_off(doubt: Doubt, phase: Phase) -> None:
    before = replace(STATE, **effects("forward", replace(EFFECT, phase="retrying", doubt=doubt)))
    after = evolve(before, TURNED_BACK, MOMENT)
    assert after.forward["a"] == replace(EFFECT, phase=phase, doubt=doubt, asks=5, due_at=None)
    plain = replace(EFFECT, phase="retrying", doubt=None)
    assert evolve(replace(STATE, **effects("forward", plain)), TURNED_BACK, MOMENT).forward["a"] == plain


def renewed(effect: Effect) -> Effect:
    """Settled from here as if the doubt had just arisen."""
    doubt = effect.doubt and replace(effect.doubt, since=NOW, asked_at=NOW)
    return replace(effect, counted=0, asks=5, doubt=doubt, due_at=None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(EFFECT, renewed(EFFECT), id="an open attempt in doubt"),
        pytest.param(
            replace(EFFECT, phase="tombstone"),
            renewed(replace(EFFECT, phase="in_doubt")),
            id="what the undo was to settle",
        ),
        pytest.param(
            replace(EFFECT, phase="verifying", doubt=None),
            replace(renewed(EFFECT), phase="verifying", doubt=None, verify_since=NOW),
            id="a read-back",
        ),
        pytest.param(replace(EFFECT, doubt=None), replace(EFFECT, doubt=None), id="what is not in doubt"),
    ],
)
def test_a_parked_run_that_turns_back_settles_as_if_doubt_had_just_arisen(before: Effect, after: Effect) -> None:
    parked = replace(PARKED, **effects("forward", before))
    turned = evolve(parked, TURNED_BACK, MOMENT)
    assert turned.forward["a"] == after
    assert (turned.parked, turned.status) == (None, "compensating")


def test_the_compensation_begins() -> None:
    after = evolve(STATE, e.CompensationStarted(undo_list=("a",)), MOMENT)
    assert after == replace(STATE, draining=False, undo_list=("a",))


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        pytest.param(e.SagaCompleted(result="sha256:r"), {"status": "completed", "result": "sha256:r"}, id="completed"),
        pytest.param(e.SagaCompensated(), {"status": "compensated"}, id="compensated"),
        pytest.param(e.SagaKilled(reason="enough"), {"status": "killed", "reason": "enough"}, id="killed"),
    ],
)
def test_the_end(event: e.Event, changes: dict[str, Any]) -> None:
    after = evolve(PARKED, event, MOMENT)
    assert after == replace(
        PARKED,
        **{
            "ended_at": NOW,
            "parked": None,
            "draining": False,
            "outcome_version": 8,
            "superseded_version": 4,
            **changes,
        },
    )


def test_parked() -> None:
    after = evolve(STATE, e.SagaParked(phase="undo", step="a", kind="refused", why="no"), MOMENT)
    parked = Parked(phase="undo", step="a", kind="refused", why="no", since=NOW)
    assert after == replace(STATE, status="parked", parked=parked, outcome_version=8, superseded_version=4)


def resolved(resolution: e.Resolution) -> e.ParkingResolved:
    return e.ParkingResolved(step="a", resolution=resolution, reason=None, evidence=None)


RESUMED: Final[dict[str, Any]] = {
    "parked": None,
    "limit_reached": False,
    "extensions": 2,
    "running_since": BEGAN + 110 + 60 * SECOND,
    "deadline_at": BEGAN + 3_660 * SECOND,
    "forward": {"a": SHIFTED, "b": Effect()},
    "undo": {"a": SHIFTED, "b": Effect()},
    **PROGRESS,
}
"""What every decision changes: the minute parked does not count."""


@pytest.mark.parametrize(
    ("turned", "status"),
    [
        ({"draining": True, "undo_list": None}, "compensating"),
        ({"draining": False, "undo_list": ("a",)}, "compensating"),
        ({"draining": False, "undo_list": None}, "running"),
    ],
    ids=["in the drain", "while undoing", "forward"],
)
def test_a_decision_lets_the_run_go_on_where_it_stood(turned: dict[str, Any], status: str) -> None:
    before = replace(PARKED, **turned)
    assert evolve(before, resolved("done_by_hand"), MOMENT) == replace(before, **{**RESUMED, "status": status})


def test_a_decision_about_no_limit_allows_no_more() -> None:
    after = evolve(replace(PARKED, limit_reached=False), resolved("done_by_hand"), MOMENT)
    assert (after.limit_reached, after.extensions) == (False, 1)


@pytest.mark.parametrize(("undo_list", "direction"), [(("a",), "undo"), (None, "forward")])
def test_a_retry_by_a_person_has_all_attempts_and_all_time(
    undo_list: tuple[str, ...] | None, direction: Direction
) -> None:
    before = replace(PARKED, undo_list=undo_list)
    anew = replace(SHIFTED, counted=0, asks=5, doubt=replace(DOUBT, since=NOW, asked_at=NOW))
    expected = {**RESUMED, **effects(direction, anew), "status": "compensating"}
    assert evolve(before, resolved("retry"), MOMENT) == replace(before, **expected)


def test_a_skipped_undo_is_left_in_the_world() -> None:
    expected = {**RESUMED, **effects("undo", replace(SHIFTED, phase="skipped", due_at=None)), "status": "compensating"}
    assert evolve(PARKED, resolved("skip"), MOMENT) == replace(PARKED, **expected)


LEFT: Final = Doubt(
    since=NOW,
    attempt=2,
    quiet_from=NOW,
    reason="in_doubt",
    message="left by a person",
    running=False,
    loose=True,
    asked_at=NOW,
)


@pytest.mark.parametrize(
    ("step", "left"),
    [
        pytest.param(
            replace(EFFECT, phase="in_doubt"),
            replace(SHIFTED, phase="ended", due_at=None),
            id="what is in doubt keeps its doubt",
        ),
        pytest.param(
            replace(EFFECT, phase="in_doubt", doubt=replace(DOUBT, running=True, loose=False)),
            replace(SHIFTED, phase="ended", due_at=None),
            id="what still runs may still land",
        ),
        pytest.param(
            replace(EFFECT, phase="requested", doubt=None),
            replace(SHIFTED, phase="ended", due_at=None, doubt=LEFT),
            id="what was sent may still land",
        ),
        pytest.param(
            replace(EFFECT, phase="done", doubt=None),
            replace(SHIFTED, phase="done", doubt=None),
            id="what stands stands",
        ),
    ],
)
def test_a_step_skipped_in_the_drain_is_left_in_the_world(step: Effect, left: Effect) -> None:
    before = replace(PARKED, **effects("forward", step), undo_list=None)
    after = evolve(before, resolved("skip"), MOMENT)
    assert after.forward["a"] == left
    assert after.undo["a"].phase == "skipped"


def test_a_run_sent_forward_begins_its_time_anew() -> None:
    anew = replace(renewed(SHIFTED), doubt=replace(DOUBT, since=NOW, asked_at=NOW))
    expected = {
        **RESUMED,
        "forward": {"a": anew, "b": Effect()},
        "status": "running",
        "cause": None,
        "reason": None,
        "failure": None,
        "draining": False,
        "undo_list": None,
        "undone": (),
        "running_since": NOW,
        "deadline_at": NOW + 3_600 * SECOND - 110,
    }
    assert evolve(PARKED, resolved("go_forward"), MOMENT) == replace(PARKED, **expected)


def test_a_run_whose_pivot_passed_forgets_why_it_turned_back() -> None:
    after = evolve(STATE, e.RunResumed(why="pivot_passed", clean=True, alone=False), MOMENT)
    assert after == replace(STATE, status="running", cause=None, reason=None, failure=None, draining=False)


@pytest.mark.parametrize(("clean", "stops"), [(True, 1), (False, 2)])
@pytest.mark.parametrize(("alone", "times"), [(True, 2), (False, 1)])
def test_stops_are_counted(stops: int, times: int, *, clean: bool, alone: bool) -> None:
    after = evolve(STATE, e.RunResumed(why="recovery", clean=clean, alone=alone), MOMENT)
    assert after == replace(STATE, unclean_stops=stops, alone=times)


@pytest.mark.parametrize("direction", ["forward", "undo"])
@pytest.mark.parametrize(
    ("answer", "result", "phase"),
    [("succeeded", "sha256:new", "done"), ("failed", None, "failed"), ("unknown", None, "ended")],
)
def test_a_late_reply(direction: Direction, answer: Any, result: str | None, phase: Phase) -> None:
    event = e.LateReplyRecorded(path="a", direction=direction, attempt=2, answer=answer, message=None, result=result)
    expected = replace(EFFECT, phase=phase, result=result or "sha256:result", doubt=None, due_at=None)
    killed = replace(STATE, status="killed")
    assert evolve(killed, event, MOMENT) == replace(killed, **effects(direction, expected))


@pytest.mark.parametrize(
    ("direction", "answer"), [("forward", "succeeded"), ("forward", "failed"), ("undo", "failed"), ("undo", "unknown")]
)
def test_a_late_answer_changes_nothing_where_an_undo_covers_it_or_a_person_has_decided(
    direction: Direction, answer: Any
) -> None:
    compensating = replace(STATE, undo_list=("a",))
    event = e.LateReplyRecorded(path="a", direction=direction, attempt=2, answer=answer, message=None, result=None)
    assert evolve(compensating, event, MOMENT) == compensating


def test_limits_and_evidence() -> None:
    limited = evolve(STATE, e.LimitReached(limit="attempts", used=1, allowed=1), MOMENT)
    assert limited == replace(STATE, limit_reached=True)
