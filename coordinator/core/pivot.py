"""The pivot: the barrier behind which a run only goes forward (rule 11)."""

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State

_AT_REST = frozenset({"idle", "done", "skipped"})


def pivot_passed(plan: Plan, state: State) -> bool:
    """Whether the pivot took. One skipped by its condition counts if something that acts comes after it."""
    if plan.pivot is None:
        return False
    phase = state.effect(plan.pivot.path, "forward").phase
    if phase == "skipped":
        path = plan.pivot.path
        return any(step.acts and path in plan.ancestors[step.path] for step in plan.form.steps)
    return phase in {"done", "verifying"}


def may_pivot(plan: Plan, state: State) -> bool:
    """Whether nothing else that acts is in flight."""
    return not any(
        effect.phase not in _AT_REST and plan.steps[path].acts
        for path, effect in state.forward.items()
        if not plan.steps[path].pivot
    )
