"""Wishes of people: cancel, kill, and decisions about a parked run (rules 10 and 12)."""

from typing import assert_never

from msgspec import UNSET

from amends.coordinator.core.expectations import everything_done
from amends.coordinator.core.forward_again import UNDO_HELD, go_forward_again, may_have_taken, pivot_in_doubt
from amends.coordinator.core.messages import ResolutionWished
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.requesting import request_step, request_undo
from amends.coordinator.core.settle import move_of, settled
from amends.coordinator.core.state import Parked, State
from amends.coordinator.core.turn import Turn
from amends.schemas.events import (
    DrainStarted,
    GenerationRaised,
    ParkingResolved,
    Resolution,
    SagaKilled,
    StepVerified,
    UndoVerified,
)
from amends.schemas.ids import Direction


def may_cancel(plan: Plan, state: State) -> str | None:
    """None, or why the run cannot be cancelled any more."""
    if state.closed:
        return f"the run is {state.status} already"
    if state.savepoint is not UNSET:
        return None
    if state.status == "compensating" or (state.parked is not None and state.parked.phase == "undo"):
        return "the run is being undone already"
    if pivot_passed(plan, state):
        return "the run has passed its pivot and can only go forward"
    if everything_done(plan, state):
        return "everything is done, and it is only asked whether it is as expected"
    return None


def resolutions(plan: Plan, state: State) -> tuple[Resolution, ...]:
    """The decisions that a person may take now, about `state.parked.step`."""
    parked = state.parked
    if parked is None:
        return ()
    found: list[Resolution] = ["retry"]
    if _done_by_hand_fits(plan, state, parked):
        found.append("done_by_hand")
    if parked.phase == "undo":
        if not _came_out(state, parked) and _may_stay(state, parked):
            found.append("skip")
        if _may_go_forward(plan, state, parked):
            found.append("go_forward")
    return tuple(found)


def _came_out(state: State, parked: Parked) -> bool:
    """Whether what the run is parked for has come out meanwhile, by a reply that took its time."""
    if state.undo_list is not None:
        return state.effect(parked.step, "undo").phase == "done"
    effect = state.effect(parked.step, "forward")
    return effect.phase == "done" or (parked.phase == "undo" and not effect.attempt_open and effect.doubt is None)


def _may_stay(state: State, parked: Parked) -> bool:
    """A run that will go forward again relies on what is left in the world: not if an undo of it may have taken."""
    if state.savepoint is UNSET or state.undo_list is None:
        return True
    return state.effect(parked.step, "undo").phase in UNDO_HELD


def _done_by_hand_fits(plan: Plan, state: State, parked: Parked) -> bool:
    """Not while an attempt may still do it, nor for a step whose result somebody needs: a hand leaves none."""
    if _came_out(state, parked):
        return False
    if state.undo_list is not None:
        return not state.effect(parked.step, "undo").attempt_open
    effect = state.effect(parked.step, "forward")
    if effect.attempt_open or effect.phase == "idle":
        return False
    stays = parked.phase == "forward" or plan.steps[parked.step].pivot
    return not stays or not any(parked.step in needs for needs in plan.needs.values())


def _may_go_forward(plan: Plan, state: State, parked: Parked) -> bool:
    """Not behind the pivot nor while it is in doubt, and not while an undo may still take."""
    if pivot_passed(plan, state) or plan.steps[parked.step].pivot or pivot_in_doubt(plan, state):
        return False
    if state.undo_list is None:
        return True
    held = state.effect(parked.step, "undo").phase in UNDO_HELD
    return held and not any(may_have_taken(undo) for undo in state.undo.values())


def cancel(turn: Turn, reason: str) -> None:
    """Turn back, unless it is too late; then nothing changes."""
    if may_cancel(turn.plan, turn.state) is None:
        turn.emit(DrainStarted(cause="cancelled", failure=None, reason=reason))


def kill(turn: Turn, reason: str) -> None:
    """Stop where it stands."""
    if not turn.state.closed:
        turn.emit(SagaKilled(reason=reason))


def resolve(turn: Turn, wish: ResolutionWished) -> None:
    """Carry a decision out; one that does not fit the state any more changes nothing."""
    parked = turn.state.parked
    if parked is None or wish.step != parked.step or wish.resolution not in resolutions(turn.plan, turn.state):
        return
    direction: Direction = "undo" if turn.state.undo_list is not None else "forward"
    turn.emit(ParkingResolved(step=wish.step, resolution=wish.resolution, reason=wish.reason, evidence=wish.evidence))
    match wish.resolution:
        case "retry":
            _retry(turn, wish.step, direction)
        case "done_by_hand":
            _done_by_hand(turn, wish.step, direction)
        case "go_forward":
            go_forward_again(turn)
        case "skip":
            pass  # That it stays in the world is folded of the decision itself.
        case _:
            assert_never(wish.resolution)


def _retry(turn: Turn, path: str, direction: Direction) -> None:
    """The failed thing again: anew after a definite failure, the same request where nothing else could settle it."""
    effect = turn.state.effect(path, direction)
    if effect.phase == "failed":
        turn.emit(GenerationRaised(path=path, direction=direction, generation=effect.generation + 1, why="person"))
        return
    if effect.phase not in {"in_doubt", "ended", "retrying"} or effect.doubt is None or effect.attempt_open:
        return
    if move_of(turn.plan, turn.state, path, direction, turn.now) == "park":
        step = turn.plan.steps[path]
        if direction == "undo":
            request_undo(turn, step)
        else:
            request_step(turn, step)


def _done_by_hand(turn: Turn, path: str, direction: Direction) -> None:
    if direction == "undo":
        turn.emit(UndoVerified(path=path, by="person"))
    elif turn.state.draining and not turn.plan.steps[path].pivot:
        settled(turn, path, "forward", "absent", "person")
    else:
        turn.emit(StepVerified(path=path, by="person"))
