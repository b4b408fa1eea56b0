"""Folds of what a person decides about a parked run, and of where it goes from there (rules 10 and 15)."""

from typing import assert_never

from msgspec import UNSET
from msgspec.structs import replace

from amends.coordinator.core.moment import Moment, with_effect
from amends.coordinator.core.state import Doubt, Effect, State
from amends.schemas import events as e
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant


def resolved(state: State, event: e.ParkingResolved, moment: Moment) -> State:
    """A decision about the step it is parked at."""
    state = _let_go(state, moment)
    match event.resolution:
        case "go_forward":
            return _sent_forward(state, moment)
        case "skip":
            return _left_in_the_world(state, event.step, moment)
        case "retry":
            return _tried_anew(state, event.step, "undo" if state.undo_list is not None else "forward", moment)
        case "done_by_hand":
            return state
    assert_never(event.resolution)


def savepoint_chosen(state: State, event: e.SavepointChosen, moment: Moment) -> State:
    """It turns back as far as the step. What it had begun to undo goes on, with all its attempts and its whole time."""
    parked, began = state.parked, state.undo_list is not None
    state = _let_go(state, moment)
    if parked is not None and began:
        state = _tried_anew(state, parked.step, "undo", moment)
    elif not began:
        state = renewed(state, moment)
        state = replace(state, forward={path: not_put_off(effect) for path, effect in state.forward.items()})
    return replace(
        state,
        status="compensating",
        savepoint=event.step,
        draining=not began,
        cause=None,
        reason=None,
        failure=None,
        running_since=moment.at,
        deadline_at=state.deadline_at + moment.at - state.running_since,
    )


def savepoint_reached(state: State, _event: e.SavepointReached, moment: Moment) -> State:
    """Forward again from there."""
    return _sent_forward(state, moment)


def _let_go(state: State, moment: Moment) -> State:
    """Not parked any more, and as if it had not been."""
    parked_us = moment.at - state.parked.since if state.parked else 0
    turning_back = state.draining or state.undo_list is not None
    return replace(
        _without_parked_time(state, parked_us, moment.at),
        status="compensating" if turning_back else "running",
        parked=None,
        limit_reached=False,
        extensions=state.extensions + state.limit_reached,
        unclean_stops=0,
        alone=0,
    )


def _without_parked_time(state: State, parked_us: int, now: Instant) -> State:
    """Nothing that is bounded in time ran while the run was parked; what came up meanwhile begins now (rule 15)."""

    def shifted(effect: Effect) -> Effect:
        doubt, verify_since = effect.doubt, effect.verify_since
        return replace(
            effect,
            due_at=effect.due_at + parked_us if effect.due_at and _time_runs(effect) else effect.due_at,
            verify_since=verify_since and min(verify_since + parked_us, now),
            doubt=doubt and replace(doubt, since=min(doubt.since + parked_us, now)),
        )

    return replace(
        state,
        running_since=state.running_since + parked_us,
        deadline_at=state.deadline_at + parked_us,
        forward={path: shifted(effect) for path, effect in state.forward.items()},
        undo={path: shifted(effect) for path, effect in state.undo.items()},
    )


def _time_runs(effect: Effect) -> bool:
    """Whether a timeout or a pause is under way; an instant is where it is."""
    return effect.phase == "waiting" and effect.awaited is not UNSET and effect.awaited.awaits != "instant"


def _sent_forward(state: State, moment: Moment) -> State:
    """With its whole time before it, and every step with all its attempts."""
    return replace(
        renewed(state, moment),
        status="running",
        cause=None,
        reason=None,
        failure=None,
        savepoint=UNSET,
        draining=False,
        undo_list=None,
        undone=(),
        running_since=moment.at,
        deadline_at=state.deadline_at + moment.at - state.running_since,
    )


def renewed(state: State, moment: Moment) -> State:
    """Doubts of the way forward are settled from here, as if they had just arisen."""

    def anew(effect: Effect) -> Effect:
        doubt = effect.doubt and replace(effect.doubt, since=moment.at, asked_at=moment.at)
        phase = "in_doubt" if effect.phase == "tombstone" else effect.phase
        verify_since = moment.at if effect.phase == "verifying" else effect.verify_since
        due_at = effect.due_at if effect.phase in {"retrying", "pending"} else None
        return replace(
            effect, phase=phase, counted=0, asks=effect.asks + 1, verify_since=verify_since, doubt=doubt, due_at=due_at
        )

    forward = {
        path: anew(effect) if effect.doubt is not None or effect.phase == "verifying" else effect
        for path, effect in state.forward.items()
    }
    return replace(state, forward=forward)


def _left_in_the_world(state: State, path: str, moment: Moment) -> State:
    before = state.effect(path, "forward")
    if state.undo_list is None and (before.attempt_open or before.phase == "pending" or before.doubt is not None):
        doubt = before.doubt or Doubt(
            since=moment.at,
            attempt=before.attempt,
            quiet_from=moment.at,
            reason="in_doubt",
            message="left by a person",
            running=False,
            loose=True,
            asked_at=moment.at,
        )
        if doubt.running:
            doubt = replace(doubt, running=False, loose=True)
        state = with_effect(state, path, "forward", replace(before, phase="ended", doubt=doubt, due_at=None))
    return with_effect(state, path, "undo", replace(state.effect(path, "undo"), phase="skipped", due_at=None))


def _tried_anew(state: State, path: str, direction: Direction, moment: Moment) -> State:
    before = state.effect(path, direction)
    doubt = before.doubt and replace(before.doubt, since=moment.at, asked_at=moment.at)
    return with_effect(state, path, direction, replace(before, counted=0, asks=before.asks + 1, doubt=doubt))


def not_put_off(effect: Effect) -> Effect:
    """A request in doubt that was to be sent again is settled afresh: a run that turned back has other ways."""
    if effect.phase != "retrying" or effect.doubt is None:
        return effect
    return replace(effect, phase="ended" if effect.doubt.ended else "in_doubt", asks=effect.asks + 1, due_at=None)
