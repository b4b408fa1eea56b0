"""What is expected of a run once everything is done. It is asked like a read, and decides nothing but the proof."""

from amends.coordinator.core.limits import whole_limit
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.requesting import request_step
from amends.coordinator.core.state import OVER, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.form import StepForm
from amends.schemas.events import ExpectationChecked


def everything_done(plan: Plan, state: State) -> bool:
    """Whether only what is expected is still to be asked: no deadline, limit or wish turns the run back any more."""
    if not plan.expects:
        return False
    plan = plan.of(state)
    effects = state.forward
    return all(
        (effect := effects.get(step.path)) is not None and effect.phase in OVER
        for step in plan.form.steps
        if step.kind != "expect"
    )


def ask(turn: Turn, step: StepForm) -> None:
    """Ask whether it holds, from the reserve where that is needed; beyond it nobody can say."""
    limit = whole_limit(turn.plan, turn.state)
    if limit is None:
        request_step(turn, step)
        return
    message = f"it was not asked: all {limit.allowed} {limit.limit} are used"
    turn.emit(limit, ExpectationChecked(path=step.path, held=False, message=message))


def not_answered(turn: Turn, step: StepForm) -> None:
    """It has had all its attempts."""
    failure = turn.state.effect(step.path, "forward").failure
    assert failure is not None, "what has no attempts left has failed"
    turn.emit(ExpectationChecked(path=step.path, held=False, message=failure.message))


def judge(turn: Turn) -> None:
    """Write down what the answers say."""
    checked = turn.state.expectations or {}
    for step in turn.plan.expectations:
        effect = turn.state.effect(step.path, "forward")
        if effect.phase != "done" or step.path in checked:
            continue
        by_person = effect.verified_by == "person"
        held = by_person or turn.value(step.path) is True
        turn.emit(ExpectationChecked(path=step.path, held=held, message="said by a person" if by_person else None))
