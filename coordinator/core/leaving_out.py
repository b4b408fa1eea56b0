"""Items that a list goes on without: with `policy="collect"` those that failed, and had no effect for certain."""

from collections.abc import Iterable

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import Phase, State
from amends.coordinator.definition.copies import copy_path, is_within

_NO_EFFECT: frozenset[Phase] = frozenset({"idle", "failed", "absent", "skipped"})
_NOT_AT_WORK: frozenset[Phase] = frozenset({"retrying", "waiting"})


def collected(plan: Plan, path: str) -> tuple[str, int] | None:
    """The list that collects failures and has this copy in one of its items, and which item; None in any other."""
    place = plan.places.get(path)
    if place is None:
        return None
    each = plan.steps[place[0]].each
    return place if each is not None and each.policy == "collect" else None


def failed_with(plan: Plan, state: State, path: str) -> str | None:
    """The step with which an item failed that the run goes on without, and that this copy is part of."""
    while (place := plan.places.get(path)) is not None:
        owner, index = place
        if collected(plan, path) is not None:
            found = left_out(plan, state, plan.copies[owner][index])
            if found is not None:
                return found
        path = owner
    return None


def left_out(plan: Plan, state: State, item: Iterable[str]) -> str | None:
    """The step with which an item failed, of those it has, if the run goes on without it."""
    for path in item:
        effect = state.effect(path, "forward")
        if effect.phase == "skipped" and effect.failure is not None and collected(plan, path) is not None:
            return path
    return None


def may_have_acted(plan: Plan, state: State, owner: str, index: int) -> bool:
    """Whether something of an item may be in the world, or on its way there."""
    item = copy_path(owner, owner, index)
    return any(
        is_within(item, path)
        and plan.steps[path].acts
        and effect.phase not in _NO_EFFECT
        and not (effect.phase == "retrying" and effect.doubt is None)
        for path, effect in state.forward.items()
    )


def put_off(plan: Plan, state: State, owner: str, index: int) -> list[str]:
    """What of an item is begun and not over, and has nothing under way."""
    return [path for path in plan.copies[owner][index] if state.effect(path, "forward").phase in _NOT_AT_WORK]
