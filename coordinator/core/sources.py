"""Where a value comes from: one payload, or one for each item of a step that is done for every item of a list."""

from amends.coordinator.core.leaving_out import left_out
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.definition.copies import returned
from amends.schemas.events import Digest

Source = Digest | tuple[Digest | None, ...] | None


def source_of(plan: Plan, state: State, step: str | None) -> Source:
    """The digest of the trigger, for None, or of a step's result; several are the members of a list.

    A step over items has their results in their order, a loop that of its last round.
    """
    if step is None:
        return state.trigger
    result = state.effect(step, "forward").result
    if result is not None or not state.fans:
        return result
    fan = state.fans.get(step)
    if fan is None or state.effect(step, "forward").phase != "done":
        return None
    form = plan.steps[step]
    if form.loop is not None:
        return _copy_s(plan, state, step, fan.count - 1)
    members = (
        None if left_out(plan, state, plan.copies[step][index]) is not None else _copy_s(plan, state, step, index)
        for index in range(fan.count)
    )
    return tuple(member if isinstance(member, str) else None for member in members)


def _copy_s(plan: Plan, state: State, step: str, index: int) -> Source:
    path = returned(plan.steps[step], index)
    return None if path is None else source_of(plan, state, path)
