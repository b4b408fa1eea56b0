"""Which question is open about an effect: to the read-back whether it took, to the lookup whether it happened."""

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.settle import move_of
from amends.coordinator.core.state import State
from amends.schemas.events import Role
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant


def question(plan: Plan, state: State, path: str, direction: Direction, now: Instant) -> Role | None:
    """The role of the handler whose answer would count now, or None."""
    effect = state.effect(path, direction)
    if effect.phase == "verifying":
        return "verify" if direction == "undo" or _still_verified(plan, state, path) else None
    if effect.phase not in {"in_doubt", "ended"} or (direction == "forward" and given_to_a_person(state, path)):
        return None
    if move_of(plan, state, path, direction, now) != "ask":
        return None
    return "lookup" if direction == "forward" else "verify"


def _still_verified(plan: Plan, state: State, path: str) -> bool:
    """A run that turned back does not read back what it is about to undo; the pivot it does."""
    return plan.steps[path].pivot or not (state.draining or state.undo_list is not None)


def given_to_a_person(state: State, path: str) -> bool:
    """Behind the frozen undo list nothing of the way forward is settled, nor what a person leaves in the world."""
    return state.undo_list is not None or state.effect(path, "undo").phase == "skipped"
