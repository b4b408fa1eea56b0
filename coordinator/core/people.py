"""Wishes of people: cancel, kill, and decisions about a parked run (rules 10 and 12)."""

from amends.coordinator.core.messages import ResolutionWished
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.requesting import request_step, request_undo
from amends.coordinator.core.settle import move_of, settled
from amends.coordinator.core.state import Effect, Parked, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.copies import with_owners
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
    found: list[Resolution] = ["retry"]
    if _done_by_hand_fits(plan, state, parked):
        found.append("done_by_hand")
    if parked.phase == "undo":
        if not _came_out(state, parked):
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
    if pivot_passed(plan, state) or plan.steps[parked.step].pivot or _pivot_in_doubt(plan, state):
        return False
    if state.undo_list is None:
        return True
    skipped = (undo for undo in state.undo.values() if undo.phase == "skipped")
    return state.effect(parked.step, "undo").phase in _UNDO_HELD and not any(_may_have_taken(undo) for undo in skipped)


def _pivot_in_doubt(plan: Plan, state: State) -> bool:
    """Also where a person left it so: it would be sent again beside the steps that come before it."""
    return plan.pivot is not None and state.effect(plan.pivot.path, "forward").doubt is not None


def _may_have_taken(undo: Effect) -> bool:
    """Whether an undo that a person gave up had been sent and had not failed for certain."""
    return undo.attempt > 0 and (undo.doubt is not None or undo.failure is None)


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
            _go_forward(turn)


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


def _go_forward(turn: Turn) -> None:
    """Undone and failed steps are requested again, under new keys; what still stands is kept."""
    anew = _requested_anew(turn)
    for path, effect in turn.state.forward.items():
        undo = turn.state.effect(path, "undo")
        if path in anew:
            turn.emit(GenerationRaised(path=path, direction="forward", generation=effect.generation + 1, why="person"))
        if undo.phase != "idle":
            turn.emit(GenerationRaised(path=path, direction="undo", generation=undo.generation + 1, why="person"))


def _requested_anew(turn: Turn) -> set[str]:
    """Also what only reads, or was skipped, behind a step that is done anew: it may see something else now."""
    plan, state = turn.plan, turn.state
    anew: set[str] = set()
    for path, effect in state.forward.items():
        if state.effect(path, "undo").phase == "done" or (effect.phase in _REQUEST_ANEW and effect.doubt is None):
            anew.update(with_owners(path))
    for step in plan.form.steps:
        without_effect = not step.acts or state.effect(step.path, "forward").phase == "skipped"
        if step.path in state.forward and without_effect and anew & plan.ancestors[step.path]:
            anew.add(step.path)
    return anew
