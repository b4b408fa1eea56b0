"""What a run that turns back undoes, and in which order (rule 9)."""

from amends.compensations.order import undo_order
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import STANDING, State


def undo_list_of(plan: Plan, state: State) -> tuple[str, ...]:
    """Every step that stands or may stand in the world, the last requested first (rule 9)."""
    requested = {
        path: effect.order
        for path, effect in state.forward.items()
        if effect.phase in STANDING
        and plan.steps[path].undo is not None
        and state.effect(path, "undo").phase != "skipped"
    }
    return undo_order(requested)
