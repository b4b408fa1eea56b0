"""The drain: no new forward work; what was sent is awaited and settled, then the undo list is frozen (rule 7)."""

from amends.coordinator.core.pending import tend_pending
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.savepoints import to_undo
from amends.coordinator.core.settle import move_of, settle
from amends.coordinator.core.state import Effect
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.form import StepForm
from amends.schemas.events import CompensationStarted, RunResumed, SagaParked, StepFailed
from amends.schemas.instants import MILLISECOND, Instant


def drain(turn: Turn) -> None:
    """Everything that is due now while draining; ends in the compensation, or forward again if the pivot did pass."""
    for path in tuple(turn.state.forward):
        _withdraw(turn, turn.plan.steps[path])
    for path in tuple(turn.state.forward):
        _quieten(turn, turn.plan.steps[path])
        if turn.state.status != "compensating":
            return
    if any(not _quiet(turn, path) for path in turn.state.forward):
        return
    if pivot_passed(turn.plan, turn.state):
        turn.emit(RunResumed(why="pivot_passed", clean=True, alone=False))
        return
    turn.emit(CompensationStarted(undo_list=to_undo(turn.plan, turn.state)))


def running_until(step: StepForm, effect: Effect) -> Instant:
    """How long an open attempt is awaited in the drain."""
    doubt_since = effect.doubt.since if effect.doubt is not None else 0
    return max(effect.timeout_at or 0, doubt_since) + step.drain_within_ms * MILLISECOND


def _withdraw(turn: Turn, step: StepForm) -> None:
    """All of them first, for what has to be settled may park the run: it waits for no message, and reads nothing."""
    effect = turn.state.effect(step.path, "forward")
    if effect.phase == "waiting" or (effect.attempt_open and not step.acts):
        message = "not needed any more: the run turned back"
        turn.emit(
            StepFailed(path=step.path, attempt=effect.attempt, kind="withdrawn", message=message, retriable=False)
        )


def _quieten(turn: Turn, step: StepForm) -> None:
    effect = turn.state.effect(step.path, "forward")
    if turn.state.effect(step.path, "undo").phase == "skipped":
        return
    if effect.phase == "pending":
        tend_pending(turn, step.path, "forward")
    elif effect.attempt_open and turn.now >= running_until(step, effect):
        turn.emit(SagaParked(phase="undo", step=step.path, kind="in_doubt", why="attempt still running"))
    elif not effect.attempt_open and _to_settle(effect, turn.now):
        settle(turn, step.path, "forward")


def _to_settle(effect: Effect, now: Instant) -> bool:
    if effect.doubt is None:
        return False
    return effect.phase in {"in_doubt", "ended"} or (effect.phase == "retrying" and (effect.due_at or 0) <= now)


def _quiet(turn: Turn, path: str) -> bool:
    """Whether nothing of this step is open or in doubt."""
    effect = turn.state.effect(path, "forward")
    if turn.state.effect(path, "undo").phase == "skipped":
        return True
    if effect.phase == "ended":
        return move_of(turn.plan, turn.state, path, "forward", turn.now) == "ended"
    return effect.phase not in {"requested", "pending", "in_doubt"} and not (
        effect.phase == "retrying" and effect.doubt
    )
