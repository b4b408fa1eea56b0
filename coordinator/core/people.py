"""Wishes of people: cancel, kill, and decisions about a parked run (rules 10 and 12)."""

from amends.coordinator.core.messages import ResolutionWished
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.requesting import request_step, request_undo
from amends.coordinator.core.settle import policy_of
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.turn import Turn
from amends.schemas.events import (
    DrainStarted,
    GenerationRaised,
    ParkingResolved,
    Resolution,
    SagaKilled,
    StepSettled,
    StepVerified,
    UndoVerified,
)
from amends.schemas.ids import Direction

_UNDO_HELD = frozenset({"idle", "failed", "absent", "done", "skipped"})
_REQUEST_ANEW = frozenset({"failed", "absent", "retrying"})


def may_cancel(plan: Plan, state: State) -> str | None:
    """None, or why the run cannot be cancelled any more."""
    if state.closed:
        return f"the run is {state.status} already"
    if state.status == "compensating" or (state.parked is not None and state.parked.phase == "undo"):
        return "the run is being undone already"
    if pivot_passed(plan, state):
        return "the run has passed its pivot and can only go forward"
    return None


def resolutions(plan: Plan, state: State) -> tuple[Resolution, ...]:
    """The decisions that a person may take now, about `state.parked.step`."""
    parked = state.parked
    if parked is None:
        return ()
    path = parked.step
    if parked.phase == "forward":
        return ("retry", "done_by_hand") if _done_by_hand_fits(plan, path) else ("retry",)
    if state.undo_list is None:
        return ("retry", "done_by_hand", "skip") if path else ("retry",)
    undo = state.effect(path, "undo")
    forward = () if pivot_passed(plan, state) or undo.phase not in _UNDO_HELD else ("go_forward",)
    return ("retry", "done_by_hand", "skip", *forward)


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
        case "retry" if wish.step:
            _retry(turn, wish.step, direction)
        case "done_by_hand":
            _done_by_hand(turn, wish.step, direction)
        case "go_forward":
            _go_forward(turn)


def _done_by_hand_fits(plan: Plan, path: str) -> bool:
    """Done by hand leaves no result, so nobody may need one."""
    return bool(path) and not any(path in needs for needs in plan.needs.values())


def _retry(turn: Turn, path: str, direction: Direction) -> None:
    """The failed thing again: anew after a definite failure, the same request where nothing else could settle it."""
    effect = turn.state.effect(path, direction)
    if effect.phase == "failed":
        turn.emit(GenerationRaised(path=path, direction=direction, generation=effect.generation + 1, why="person"))
    elif effect.doubt is not None and not effect.doubt.running and not _can_settle(turn, path, direction, effect):
        step = turn.plan.steps[path]
        if direction == "undo":
            request_undo(turn, step)
        else:
            request_step(turn, step)


def _can_settle(turn: Turn, path: str, direction: Direction, effect: Effect) -> bool:
    _, certainty = policy_of(turn.plan.steps[path], direction)
    if turn.plan.reader(path, direction) is not None:
        return True
    if turn.state.draining and (certainty.tombstones or (effect.doubt is not None and effect.doubt.ended)):
        return True
    return certainty.deduplicates and certainty.window_ms is None


def _done_by_hand(turn: Turn, path: str, direction: Direction) -> None:
    if direction == "undo":
        turn.emit(UndoVerified(path=path, by="person"))
    elif turn.state.draining:
        effect = turn.state.effect(path, "forward")
        turn.emit(
            StepSettled(
                path=path,
                direction="forward",
                attempt=effect.attempt,
                state="absent",
                by="person",
                kind=None,
                message=None,
                result=None,
                external_id=None,
                readback=False,
            )
        )
    else:
        turn.emit(StepVerified(path=path, by="person"))


def _go_forward(turn: Turn) -> None:
    """Undone and failed steps are requested again, under new keys; what still stands is kept."""
    state = turn.state
    for path, effect in state.forward.items():
        undo = state.effect(path, "undo")
        if undo.phase == "done" or effect.phase in _REQUEST_ANEW:
            turn.emit(GenerationRaised(path=path, direction="forward", generation=effect.generation + 1, why="person"))
        if undo.phase != "idle":
            turn.emit(GenerationRaised(path=path, direction="undo", generation=undo.generation + 1, why="person"))
