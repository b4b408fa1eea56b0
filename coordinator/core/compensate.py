"""The compensation: undo in reverse, one at a time, each verified before the next (rules 9 and 10)."""

from msgspec import UNSET

from amends.coordinator.core.pending import tend_pending
from amends.coordinator.core.retrying import attempts_left
from amends.coordinator.core.savepoints import go_forward_from
from amends.coordinator.core.settle import request_from_reserve, schedule_retry, settle
from amends.coordinator.core.state import OVER, Effect
from amends.coordinator.core.turn import Turn
from amends.coordinator.core.verifying import plan_verifications
from amends.coordinator.definition.form import StepForm
from amends.schemas.events import GenerationRaised, SagaCompensated, SagaParked


def compensate(turn: Turn) -> None:
    """Everything that is due now for the one undo that is at work."""
    undo_list = turn.state.undo_list
    assert undo_list is not None, "the compensation begins with its frozen list"
    path = next((path for path in undo_list if turn.state.effect(path, "undo").phase not in OVER), None)
    if path is None and turn.state.savepoint is not UNSET:
        go_forward_from(turn, turn.state.savepoint)
        return
    if path is None:
        plan_verifications(turn, "undo")
        turn.emit(SagaCompensated())
        return
    _tend(turn, turn.plan.steps[path], turn.state.effect(path, "undo"))


def _tend(turn: Turn, step: StepForm, effect: Effect) -> None:
    match effect.phase:
        case "idle":
            _begin(turn, step)
        case "failed":
            _retry_or_park(turn, step, effect)
        case "retrying" if effect.due_at is not None and effect.due_at <= turn.now:
            if effect.doubt is None:
                request_from_reserve(turn, step.path, "undo")
            else:
                settle(turn, step.path, "undo")
        case "absent":
            request_from_reserve(turn, step.path, "undo")
        case "in_doubt" | "ended":
            settle(turn, step.path, "undo")
        case "pending":
            tend_pending(turn, step.path, "undo")


def _begin(turn: Turn, step: StepForm) -> None:
    """An undo that needs a result which nobody knows is a person's (rule 8)."""
    assert step.undo is not None, "the undo list holds only steps that have one"
    known = turn.state.effect(step.path, "forward").result is not None
    if not known and not step.undo.takes_unknown:
        why = "what it did is not known, and its undo needs the result"
        turn.emit(SagaParked(phase="undo", step=step.path, kind="in_doubt", why=why))
        return
    request_from_reserve(turn, step.path, "undo")


def _retry_or_park(turn: Turn, step: StepForm, effect: Effect) -> None:
    failure = effect.failure
    assert failure is not None, "a failed undo has a failure"
    assert step.undo is not None, "the undo list holds only steps that have one"
    if failure.kind == "withdrawn":
        schedule_retry(turn, step.path, "undo")
        return
    if not effect.retriable or not attempts_left(step.undo.retry, effect.counted):
        turn.emit(SagaParked(phase="undo", step=step.path, kind=failure.kind, why=failure.message))
        return
    turn.emit(GenerationRaised(path=step.path, direction="undo", generation=effect.generation + 1, why="failed"))
    schedule_retry(turn, step.path, "undo")
