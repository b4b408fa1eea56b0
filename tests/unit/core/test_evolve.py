"""What each event changes of one effect, and that it changes nothing else: every field is set before it."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from amends.coordinator.core.evolve import evolve
from amends.coordinator.core.state import Doubt, Effect, Phase, Undone
from amends.schemas import events as e
from amends.schemas.ids import Direction, EffectKey
from amends.schemas.instants import instant_of
from tests.unit.core.evolving import BEGAN, DOUBT, DUE, EFFECT, FAILURE, MOMENT, NOW, PROGRESS, STATE, effects


def requested(direction: Direction, *, same: bool) -> e.StepRequested | e.UndoRequested:
    if direction == "undo":
        return e.UndoRequested(
            path="a",
            attempt=3,
            generation=2,
            idempotency_key=EffectKey("key-2"),
            arguments="sha256:others",
            timeout_at=DUE,
            same_request=same,
            permission="allowed",
        )
    return e.StepRequested(
        path="a",
        attempt=3,
        generation=2,
        idempotency_key=EffectKey("key-2"),
        arguments="sha256:others",
        timeout_at=DUE,
        same_request=same,
        permission="allowed",
        policy_version=None,
        price_version=None,
        reservation=None,
    )


def failed(direction: Direction, kind: str) -> e.StepFailed | e.UndoFailed:
    what = e.StepFailed if direction == "forward" else e.UndoFailed
    return what(path="a", attempt=2, kind=kind, message="sold out", retriable=False)


def doubtful(direction: Direction, reason: str, *, running: bool) -> e.StepInDoubt:
    return e.StepInDoubt(
        path="a", direction=direction, attempt=2, reason=reason, message="cut off", attempt_running=running
    )


def settled(direction: Direction, **said: Any) -> e.StepSettled:
    nothing: dict[str, Any] = dict.fromkeys(("kind", "message", "result", "external_id"))
    return e.StepSettled(path="a", direction=direction, attempt=2, **{**nothing, "readback": False, **said})


BOTH: Final = pytest.mark.parametrize("direction", ["forward", "undo"])


@BOTH
def test_a_request_opens_an_attempt(direction: Direction) -> None:
    forward = direction == "forward"
    expected = replace(
        EFFECT,
        phase="requested",
        attempt=3,
        counted=3,
        generation=2,
        key="key-2",
        arguments="sha256:others",
        order=6 if forward else 3,
        requested_at=NOW,
        same_request=False,
        timeout_at=instant_of(DUE),
        due_at=None,
    )
    after = evolve(STATE, requested(direction, same=False), MOMENT)
    assert after == replace(STATE, **effects(direction, expected), requests=6 if forward else 5, attempts=7)


@BOTH
def test_the_first_request_under_a_key_begins_its_window_and_its_exposure(direction: Direction) -> None:
    before = replace(STATE, **effects(direction, replace(EFFECT, key_used_at=None, since=None)))
    after = evolve(before, requested(direction, same=True), MOMENT).effect("a", direction)
    assert (after.key_used_at, after.since, after.same_request) == (NOW, NOW, True)


@pytest.mark.parametrize(("readback", "phase"), [(True, "verifying"), (False, "done")])
def test_a_step_succeeds(phase: Phase, *, readback: bool) -> None:
    event = e.StepSucceeded(path="a", attempt=2, result="sha256:new", external_id="ext-2", readback=readback)
    expected = replace(
        EFFECT,
        phase=phase,
        result="sha256:new",
        external_id="ext-2",
        verify_since=NOW,
        doubt=DOUBT if readback else None,
        asks=5,
        due_at=None,
        settled=False,
        failure=None,
    )
    assert evolve(STATE, event, MOMENT) == replace(STATE, **effects("forward", expected), **PROGRESS)


def test_an_undo_succeeds() -> None:
    expected = replace(
        EFFECT, phase="verifying", external_id="ext-2", verify_since=NOW, asks=5, due_at=None, failure=None
    )
    after = evolve(STATE, e.UndoSucceeded(path="a", attempt=2, external_id="ext-2"), MOMENT)
    assert after == replace(STATE, **effects("undo", expected), **PROGRESS)


@pytest.mark.parametrize("since", [None, BEGAN], ids=["by hand, never requested", "since its request"])
def test_a_step_is_verified(since: int | None) -> None:
    before = replace(STATE, **effects("forward", replace(EFFECT, since=since)))
    expected = replace(
        EFFECT,
        phase="done",
        verified_by="person",
        since=NOW if since is None else since,
        doubt=None,
        failure=None,
        due_at=None,
    )
    after = evolve(before, e.StepVerified(path="a", by="person"), MOMENT)
    assert after == replace(STATE, **effects("forward", expected), **PROGRESS)


def test_an_undo_is_verified() -> None:
    expected = replace(EFFECT, phase="done", verified_by="readback", doubt=None, failure=None, due_at=None)
    undone = (*STATE.undone, Undone(step="a", verified_by="readback"))
    after = evolve(STATE, e.UndoVerified(path="a", by="readback"), MOMENT)
    assert after == replace(STATE, **effects("undo", expected), undone=undone, **PROGRESS)


@BOTH
@pytest.mark.parametrize(("kind", "counted"), [("sold_out", 2), ("withdrawn", 1)])
def test_a_definite_failure(direction: Direction, kind: str, counted: int) -> None:
    expected = replace(
        EFFECT,
        phase="failed",
        counted=counted,
        doubt=None,
        since=None,
        due_at=None,
        failure=e.Failure(step="a", attempt=2, kind=kind, message="sold out"),
        retriable=False,
    )
    progress = {} if kind == "withdrawn" else PROGRESS
    after = evolve(STATE, failed(direction, kind), MOMENT)
    assert after == replace(STATE, **effects(direction, expected), **progress)


@BOTH
@pytest.mark.parametrize(
    ("reason", "counted"), [("timeout", 2), ("lost", 1), ("withdrawn", 1)], ids=["seen", "lost", "withdrawn"]
)
@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("former", [None, DOUBT, replace(DOUBT, loose=False)], ids=["first", "loose", "ended"])
def test_a_doubt(direction: Direction, reason: str, counted: int, former: Doubt | None, *, running: bool) -> None:
    before = replace(STATE, **effects(direction, replace(EFFECT, doubt=former)))
    doubt = Doubt(
        since=former.since if former else NOW,
        attempt=former.attempt if former else 2,
        quiet_from=NOW,
        reason=reason,
        message="cut off",
        running=running,
        loose=not running or (former is not None and former.loose),
        asked_at=NOW,
    )
    expected = replace(
        EFFECT,
        phase="in_doubt",
        counted=counted,
        due_at=None,
        asks=5,
        doubt=doubt,
        failure=e.Failure(step="a", attempt=2, kind=reason, message="cut off"),
    )
    progress = PROGRESS if reason == "timeout" else {}
    after = evolve(before, doubtful(direction, reason, running=running), MOMENT)
    assert after == replace(STATE, **effects(direction, expected), **progress)


@BOTH
@pytest.mark.parametrize("readback", [True, False])
@pytest.mark.parametrize("told", [True, False], ids=["with a result", "without"])
def test_settled_present(direction: Direction, *, readback: bool, told: bool) -> None:
    expected = replace(
        EFFECT,
        phase="verifying" if readback else "done",
        settled=True,
        result="sha256:found" if told else "sha256:result",
        external_id="ext-3" if told else "ext-1",
        verify_since=NOW,
        doubt=DOUBT if readback else None,
        asks=5,
        due_at=None,
        failure=None,
    )
    before = replace(STATE, **effects(direction, replace(EFFECT, settled=False)))
    said = {"result": "sha256:found", "external_id": "ext-3"} if told else {}
    after = evolve(before, settled(direction, state="present", by="lookup", readback=readback, **said), MOMENT)
    assert after == replace(STATE, **effects(direction, expected), **PROGRESS)


@BOTH
@pytest.mark.parametrize(("kind", "counted", "reason"), [(None, 2, "exception"), ("withdrawn", 1, "withdrawn")])
def test_settled_ended(direction: Direction, kind: str | None, counted: int, reason: str) -> None:
    doubt = replace(DOUBT, quiet_from=NOW, reason=reason, message="KeyError", loose=False, asked_at=NOW)
    expected = replace(
        EFFECT,
        phase="ended",
        counted=counted,
        doubt=doubt,
        failure=e.Failure(step="a", attempt=2, kind=reason, message="KeyError"),
        asks=5,
        due_at=None,
    )
    event = settled(direction, state="ended", by="exception", kind=kind, message="KeyError")
    assert evolve(STATE, event, MOMENT) == replace(STATE, **effects(direction, expected), **PROGRESS)


@BOTH
def test_settled_absent(direction: Direction) -> None:
    expected = replace(EFFECT, phase="absent", doubt=None, since=None, due_at=None)
    after = evolve(STATE, settled(direction, state="absent", by="lookup"), MOMENT)
    assert after == replace(STATE, **effects(direction, expected), **PROGRESS)


def test_settled_by_a_tombstone_is_no_answer_and_keeps_the_doubt() -> None:
    expected = replace(EFFECT, phase="tombstone", due_at=None)
    after = evolve(STATE, settled("forward", state="tombstone", by="tombstone"), MOMENT)
    assert after == replace(STATE, **effects("forward", expected))


def test_a_skipped_step() -> None:
    after = evolve(STATE, e.StepSkipped(path="a", because="condition"), MOMENT)
    assert after == replace(STATE, **effects("forward", replace(EFFECT, phase="skipped")))


@BOTH
def test_a_retry_is_put_off(direction: Direction) -> None:
    role: e.Role = "step" if direction == "forward" else "undo"
    event = e.RetryScheduled(path="a", direction=direction, role=role, attempt=3, due_at=DUE)
    expected = replace(EFFECT, phase="retrying", due_at=instant_of(DUE))
    assert evolve(STATE, event, MOMENT) == replace(STATE, **effects(direction, expected))


@BOTH
@pytest.mark.parametrize(
    ("phase", "after"),
    [("in_doubt", "in_doubt"), ("ended", "ended"), ("verifying", "verifying"), ("retrying", "in_doubt")],
)
@pytest.mark.parametrize("role", ["lookup", "verify"])
def test_a_question_is_put_off(direction: Direction, phase: Phase, after: Phase, role: e.Role) -> None:
    before = replace(STATE, **effects(direction, replace(EFFECT, phase=phase)))
    event = e.RetryScheduled(path="a", direction=direction, role=role, attempt=5, due_at=DUE)
    due = instant_of(DUE)
    expected = replace(EFFECT, phase=after, asks=5, due_at=due, doubt=replace(DOUBT, asked_at=due))
    assert evolve(before, event, MOMENT) == replace(STATE, **effects(direction, expected), **PROGRESS)


@BOTH
@pytest.mark.parametrize(("why", "counted"), [("failed", 2), ("person", 0)])
def test_a_new_key_begins_anew_but_for_numbers(direction: Direction, why: str, counted: int) -> None:
    event = e.GenerationRaised(path="a", direction=direction, generation=2, why=why)
    expected = Effect(attempt=2, counted=counted, generation=2, order=3, asks=4, failure=FAILURE)
    assert evolve(STATE, event, MOMENT) == replace(STATE, **effects(direction, expected))
