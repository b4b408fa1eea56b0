"""What a parked run is parked for."""

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.schemas.events import Failure, Resolution
from amends.schemas.ids import Direction


def parked_way(state: State) -> Direction:
    """Whether it is a step or an undo. A run that turned back and cannot settle a step has begun no undo yet."""
    return "forward" if state.undo_list is None else "undo"


def failure_of(state: State) -> Failure | None:
    """What turned the run back; of one that had not failed, what it is parked for."""
    parked = state.parked
    if state.failure is not None or parked is None:
        return state.failure
    attempt = state.effect(parked.step, parked_way(state)).attempt
    return Failure(step=parked.step, attempt=attempt, kind=parked.kind, message=parked.why)


def meaning_of(resolution: Resolution, plan: Plan, state: State) -> str:
    """What a decision about the run, parked as it is, says of the world and leads to (rule 10)."""
    parked = state.parked
    assert parked is not None, "only of a parked run"
    match resolution:
        case "retry":
            return "try the failed thing again"
        case "skip":
            return "its effect stays in the world; undo the rest"
        case "go_forward":
            return "request again what failed or was undone, and go on"
        case "done_by_hand" if parked_way(state) == "undo":
            return "somebody has undone it: its effect is out of the world"
        case "done_by_hand" if state.draining and not plan.steps[parked.step].pivot:
            return "its effect is not in the world: it never came, or somebody took it out"
        case "done_by_hand":
            return "its effect is in the world: it came, or somebody did it"


def told_of(resolution: Resolution) -> str:
    """What somebody decided, in a word or two."""
    match resolution:
        case "retry":
            return "try it again"
        case "done_by_hand":
            return "it was done by hand"
        case "skip":
            return "leave it in the world"
        case "go_forward":
            return "go forward"
