"""Going forward: retry what failed, settle what is in doubt, request what is ready, finish."""

from amends.coordinator.core.expectations import ask, everything_done, judge, not_answered
from amends.coordinator.core.leaving_out import failed_with
from amends.coordinator.core.limits import forward_limit
from amends.coordinator.core.pending import tend_pending
from amends.coordinator.core.pivot import may_pivot, pivot_passed
from amends.coordinator.core.repeating import begin_repeating, go_on_without, in_order, may_fail, tend_repeating
from amends.coordinator.core.requesting import request_step
from amends.coordinator.core.retrying import attempts_left
from amends.coordinator.core.settle import fail, schedule_retry, settle
from amends.coordinator.core.state import OVER, Effect
from amends.coordinator.core.turn import Turn
from amends.coordinator.core.verifying import plan_verifications
from amends.coordinator.core.waiting import begin_wait, end_wait
from amends.coordinator.definition.form import StepForm
from amends.schemas.events import (
    DrainStarted,
    Failure,
    GenerationRaised,
    LimitReached,
    SagaCompleted,
    SagaParked,
    StepSkipped,
)
from amends.schemas.instants import MILLISECOND

_TENDED = frozenset({"failed", "retrying", "absent", "in_doubt", "ended", "waiting", "pending", "repeating"})


def go_forward(turn: Turn) -> None:
    """Everything that is due now on the way forward."""
    if _finished(turn) or _stopped_by_time(turn) or turn.state.status == "queued":
        return
    for path, effect in turn.state.forward.items():
        if effect.phase in _TENDED:
            _tend(turn, turn.plan.steps[path])
            if turn.state.status != "running":
                return
    for step in in_order(turn):
        begun = turn.state.forward.get(step.path)
        if begun is not None and begun.phase != "idle":
            continue
        if turn.full:
            return
        _start_if_ready(turn, step)
        if turn.state.status != "running":
            return


def _tend(turn: Turn, step: StepForm) -> None:
    """Look after one step that was begun."""
    effect = turn.state.effect(step.path, "forward")
    match effect.phase:
        case "failed":
            _retry_or_fail(turn, step, effect)
        case "retrying" if effect.due_at is not None and effect.due_at <= turn.now:
            if effect.doubt is None:
                _request(turn, step)
            else:
                settle(turn, step.path, "forward")
        case "absent":
            _request(turn, step)
        case "in_doubt" | "ended":
            settle(turn, step.path, "forward")
        case "pending":
            tend_pending(turn, step.path, "forward")
        case "repeating":
            tend_repeating(turn, step)
        case "waiting" if effect.due_at is not None and effect.due_at <= turn.now:
            end_wait(turn, step)


def _request(turn: Turn, step: StepForm) -> None:
    """Ask for an attempt, unless that would use what is kept for undoing."""
    if step.wait is not None:
        if not _stopped_by_limit(turn, step):
            begin_wait(turn, step)
    elif step.repeats:
        if not _stopped_by_limit(turn, step):
            begin_repeating(turn, step)
    elif step.kind == "expect":
        ask(turn, step)
    elif turn.has_handler(step.handler.name) and not _stopped_by_limit(turn, step):
        request_step(turn, step)


def _retry_or_fail(turn: Turn, step: StepForm, effect: Effect) -> None:
    failure = effect.failure
    assert failure is not None, "a failed step has a failure"
    if failure.kind == "withdrawn":
        if step.wait is not None:
            _request(turn, step)
            return
        schedule_retry(turn, step.path, "forward")
        return
    if not effect.retriable or not attempts_left(step.retry, effect.counted):
        if step.kind == "expect":
            not_answered(turn, step)
        elif may_fail(turn, step.path):
            go_on_without(turn, step.path)
        else:
            fail(turn, step.path)
        return
    if step.acts:
        turn.emit(GenerationRaised(path=step.path, direction="forward", generation=effect.generation + 1, why="failed"))
    schedule_retry(turn, step.path, "forward")


def _start_if_ready(turn: Turn, step: StepForm) -> None:
    state, lacking = turn.state, None
    for before in step.after:
        phase = state.effect(before, "forward").phase
        if phase not in OVER:
            return
        if phase == "skipped" and lacking is None and before in turn.plan.needs[step.path]:
            lacking = before
    if lacking is None and turn.plan.repeats:
        lacking = failed_with(turn.plan, state, step.path)
    if lacking is not None:
        turn.emit(StepSkipped(path=step.path, because=lacking))
    elif step.when is not None and not turn.holds(step.when):
        turn.emit(StepSkipped(path=step.path, because="condition"))
    elif not step.pivot or may_pivot(turn.plan, state):
        _request(turn, step)


def _finished(turn: Turn) -> bool:
    effects = turn.state.forward
    if len(effects) < len(turn.plan.form.steps):
        return False
    for path, effect in effects.items():
        if effect.phase not in OVER and not (effect.phase == "idle" and path not in turn.plan.paths):
            return False
    judge(turn)
    plan_verifications(turn, "forward")
    result = turn.plan.result
    turn.emit(SagaCompleted(result=effects[result].result if result is not None else None))
    return True


def _stopped_by_time(turn: Turn) -> bool:
    """Turn back at the deadline or when the wall time is spent; behind the pivot neither counts (rule 12)."""
    state, wall_ms = turn.state, turn.plan.form.budget.wall_ms
    late = turn.now >= state.deadline_at
    spent = wall_ms is not None and turn.now >= state.running_since + wall_ms * MILLISECOND
    if not (late or spent) or pivot_passed(turn.plan, state) or everything_done(turn.plan, state):
        return False
    if late or wall_ms is None:
        turn.emit(DrainStarted(cause="deadline", failure=None, reason=None))
        return True
    used_ms = (turn.now - state.running_since) // MILLISECOND
    limit = LimitReached(limit="wall_ms", used=used_ms, allowed=wall_ms)
    message = f"{used_ms} ms of {wall_ms} ms used"
    failure = Failure(step=_next_step(turn), attempt=0, kind="limit", message=message)
    turn.emit(limit, DrainStarted(cause="budget", failure=failure, reason=None))
    return True


def _stopped_by_limit(turn: Turn, step: StepForm) -> bool:
    limit = forward_limit(turn.plan, turn.state)
    if limit is None:
        return False
    message = f"{limit.used} of {limit.allowed} {limit.limit} used; the rest is kept for undoing"
    if pivot_passed(turn.plan, turn.state):
        turn.emit(limit, SagaParked(phase="forward", step=step.path, kind="limit", why=message))
    else:
        failure = Failure(step=step.path, attempt=0, kind="limit", message=message)
        turn.emit(limit, DrainStarted(cause="budget", failure=failure, reason=None))
    return True


def _next_step(turn: Turn) -> str:
    """The first step that is not over."""
    return next(step.path for step in turn.plan.form.steps if turn.state.effect(step.path, "forward").phase not in OVER)
