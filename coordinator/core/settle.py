"""Carrying out what the table of `compensations/settling.py` says about an effect in doubt."""

from typing import Literal, assert_never

from amends.compensations.settling import Answer, Doubtful, Move, settle_forward, settle_in_drain, settle_undo
from amends.coordinator.core.limits import whole_limit
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.requesting import request_step, request_undo
from amends.coordinator.core.retrying import attempts_left, delay_ms, polling_delay_ms
from amends.coordinator.core.state import Doubt, Effect, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.form import Certainty, RetryForm, StepForm
from amends.schemas.events import DrainStarted, Failure, RetryScheduled, Role, SagaParked, StepSettled
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant, text_of


def settle(turn: Turn, path: str, direction: Direction, answer: Answer = "none") -> None:
    """Do the next thing about a doubt. `answer` is what the reader has just said, if it was asked."""
    move = move_of(turn.plan, turn.state, path, direction, turn.now, answer=answer)
    match move:
        case "wait" | "ask" | "ended":
            return  # An open attempt, an open question, or settled by not knowing: nothing to decide.
        case "ask_again":
            _ask_again(turn, path, direction)
        case "accept":
            raise AssertionError("a reader that says present is handled where its answer arrives")
        case "absent":
            _absent(turn, path, direction)
        case "resend":
            _resend(turn, path, direction, answer)
        case "undo":
            settled(turn, path, direction, "tombstone", "tombstone")
        case "fail":
            _give_up(turn, path, direction, answer)
        case "park":
            _park(turn, path, direction)
        case _:
            assert_never(move)


def move_of(
    plan: Plan, state: State, path: str, direction: Direction, now: Instant, *, answer: Answer = "none"
) -> Move:
    """What the table says, from the state."""
    step, effect = plan.steps[path], state.effect(path, direction)
    doubt = doubt_of(effect)
    retry, certainty = policy_of(step, direction)
    reader = plan.reader(path, direction)
    if effect.phase == "retrying" and answer == "none":
        answer = "unanswered"  # It was asked before this request was put off; the key's window is what counts now.
    facts = Doubtful(
        running=doubt.running,
        ended=doubt.ended,
        reader=reader is not None,
        answer=answer,
        absence_counts=doubt.asked_at >= _believable_from(plan, path, direction, doubt),
        key_open=key_open(step, direction, effect, now),
        tombstones=direction == "forward" and tombstones(step, effect),
        attempts_left=attempts_left(retry, effect.counted),
        waits=certainty.settle == "wait" or (step.pivot and reader is not None),
        time_left=time_left(step, direction, doubt, now),
    )
    if direction == "undo":
        return settle_undo(facts)
    if not state.draining:
        return settle_forward(facts)
    move = settle_in_drain(facts)
    return "park" if move == "ended" and step.pivot else move


def time_left(step: StepForm, direction: Direction, doubt: Doubt, now: Instant) -> bool:
    """Whether `settle_within` is not over."""
    _, certainty = policy_of(step, direction)
    return now < doubt.since + certainty.settle_within_ms * MILLISECOND


def tombstones(step: StepForm, effect: Effect) -> bool:
    """Whether its undo settles it, whatever became of it: the participant refuses a request whose undo came first."""
    known = effect.result is not None
    return step.certainty.tombstones and not step.pivot and step.undo is not None and (known or step.undo.takes_unknown)


def doubt_of(effect: Effect) -> Doubt:
    """The doubt of an effect that has one."""
    assert effect.doubt is not None, "only an effect in doubt is settled"
    return effect.doubt


def policy_of(step: StepForm, direction: Direction) -> tuple[RetryForm, Certainty]:
    """Retry policy and promises of the step, or of its undo."""
    if direction == "forward":
        return step.retry, step.certainty
    assert step.undo is not None, "only a step with an undo is undone"
    return step.undo.retry, step.undo.certainty


def schedule_retry(turn: Turn, path: str, direction: Direction) -> None:
    """Put the next try off by the policy's wait, or for as long as the participant has just asked."""
    effect = turn.state.effect(path, direction)
    retry, _ = policy_of(turn.plan.steps[path], direction)
    wait_ms = delay_ms(
        retry,
        saga_id=turn.state.saga_id,
        path=f"{path}:{direction}",
        attempt=effect.attempt,
        counted=effect.counted,
        retry_after_ms=turn.retry_after_ms.get((path, direction)),
    )
    turn.emit(
        RetryScheduled(
            path=path,
            direction=direction,
            role="step" if direction == "forward" else "undo",
            attempt=effect.attempt + 1,
            due_at=text_of(turn.now + wait_ms * MILLISECOND),
        )
    )


def key_open(step: StepForm, direction: Direction, effect: Effect, now: Instant) -> bool:
    """Whether a request sent now still meets a participant that remembers the key when it arrives."""
    _, certainty = policy_of(step, direction)
    if not certainty.deduplicates:
        return False
    if certainty.window_ms is None or effect.key_used_at is None:
        return True
    handler = step.handler if direction == "forward" or step.undo is None else step.undo.handler
    return now + handler.timeout_ms * MILLISECOND <= effect.key_used_at + certainty.window_ms * MILLISECOND


def _believable_from(plan: Plan, path: str, direction: Direction, doubt: Doubt) -> Instant:
    """From when a `no` of the reader says that it will not happen any more, either: read-backs lag (rule 9)."""
    _, certainty = policy_of(plan.steps[path], direction)
    reader = plan.reader(path, direction)
    lands_ms = 0 if doubt.ended else certainty.settle_ms
    return doubt.quiet_from + (lands_ms + (reader.within_ms if reader is not None else 0)) * MILLISECOND


def _ask_again(turn: Turn, path: str, direction: Direction) -> None:
    effect = turn.state.effect(path, direction)
    doubt = doubt_of(effect)
    soonest = turn.now + polling_delay_ms((turn.now - doubt.since) // MILLISECOND) * MILLISECOND
    due_at = text_of(max(soonest, _believable_from(turn.plan, path, direction, doubt)))
    role: Role = "lookup" if direction == "forward" else "verify"
    turn.emit(RetryScheduled(path=path, direction=direction, role=role, attempt=effect.asks + 1, due_at=due_at))


def settled(
    turn: Turn,
    path: str,
    direction: Direction,
    state: Literal["absent", "tombstone"],
    by: Literal["lookup", "readback", "tombstone", "person"],
) -> None:
    """Record that a doubt is over, where no result came of it."""
    turn.emit(
        StepSettled(
            path=path,
            direction=direction,
            attempt=turn.state.effect(path, direction).attempt,
            state=state,
            by=by,
            kind=None,
            message=None,
            result=None,
            external_id=None,
            readback=False,
        )
    )


def _absent(turn: Turn, path: str, direction: Direction) -> None:
    settled(turn, path, direction, "absent", "lookup" if direction == "forward" else "readback")


def _believed(turn: Turn, path: str, direction: Direction, answer: Answer) -> bool:
    """Whether the reader's answer is a `no` that counts."""
    doubt = doubt_of(turn.state.effect(path, direction))
    return answer == "absent" and doubt.asked_at >= _believable_from(turn.plan, path, direction, doubt)


def _resend(turn: Turn, path: str, direction: Direction, answer: Answer) -> None:
    """The same request under the same key: at once if it was lost with its worker, else after the policy's wait."""
    effect = turn.state.effect(path, direction)
    lost = doubt_of(effect).reason == "lost"
    if not turn.state.draining and _believed(turn, path, direction, answer):
        _absent(turn, path, direction)
    if effect.phase != "retrying" and not lost:
        schedule_retry(turn, path, direction)
    else:
        request_from_reserve(turn, path, direction)


def request_from_reserve(turn: Turn, path: str, direction: Direction) -> None:
    """Settling and undo may use the whole of every limit; beyond that a person decides (rules 12 and 18)."""
    limit = whole_limit(turn.plan, turn.state)
    if limit is not None:
        why = f"all {limit.allowed} {limit.limit} are used"
        turn.emit(limit, SagaParked(phase=_way(turn, direction), step=path, kind="limit", why=why))
    elif direction == "forward":
        request_step(turn, turn.plan.steps[path])
    else:
        request_undo(turn, turn.plan.steps[path])


def _way(turn: Turn, direction: Direction) -> Literal["forward", "undo"]:
    return "forward" if direction == "forward" and not turn.state.draining else "undo"


def _give_up(turn: Turn, path: str, direction: Direction, answer: Answer) -> None:
    if _believed(turn, path, direction, answer):
        _absent(turn, path, direction)
    fail(turn, path)


def fail(turn: Turn, path: str) -> None:
    """Give a step up: turn back, or behind the pivot wait for a person (rules 7 and 11)."""
    failure = turn.state.effect(path, "forward").failure
    assert failure is not None, "a step is given up after a failure"
    if pivot_passed(turn.plan, turn.state):
        turn.emit(SagaParked(phase="forward", step=path, kind=failure.kind, why=failure.message))
        return
    turn.emit(DrainStarted(cause="failed", failure=failure, reason=None))


def _park(turn: Turn, path: str, direction: Direction) -> None:
    effect = turn.state.effect(path, direction)
    failure = effect.failure or Failure(step=path, attempt=effect.attempt, kind="in_doubt", message="no reply")
    why = "attempt still running" if effect.attempt_open else f"in doubt and nothing can settle it: {failure.message}"
    turn.emit(SagaParked(phase=_way(turn, direction), step=path, kind="in_doubt", why=why))
