"""What a parked run is parked for."""

from amends.coordinator.core.state import State
from amends.schemas.events import Failure
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
