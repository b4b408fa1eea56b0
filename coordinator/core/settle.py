"""Carrying out what the table of `compensations/settling.py` says about an effect in doubt."""

from typing import assert_never

from amends.compensations.settling import Answer, Doubtful, Move, settle_forward, settle_in_drain, settle_undo
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.requesting import request_step, request_undo
from amends.coordinator.core.retrying import attempts_left, delay_ms, polling_delay_ms
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.definition.form import Certainty, RetryForm, StepForm
from amends.schemas.events import DrainStarted, Failure, RetryScheduled, SagaParked, StepSettled
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant, text_of


def settle(turn: Turn, path: str, direction: Direction, answer: Answer = "none") -> None:
    """Do the next thing about a doubt. `answer` is what the reader has just said, if it was asked."""
    move = move_of(turn.plan, turn.state, path, direction, turn.now, answer)
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
            _tombstone(turn, path)
        case "fail":
            _give_up(turn, path, direction, answer)
        case "park":
            _park(turn, path, direction)
        case _:
            assert_never(move)


def move_of(plan: Plan, state: State, path: str, direction: Direction, now: Instant, answer: Answer = "none") -> Move:
    """What the table says, from the state."""
    step, effect = plan.steps[path], state.effect(path, direction)
    doubt = effect.doubt
    assert doubt is not None, "only an effect in doubt is settled"
    retry, certainty = policy_of(step, direction)
    reader = plan.reader(path, direction)
    if effect.phase == "retrying" and answer == "none":
        answer = "unanswered"  # It was asked before this request was put off; the key's window is what counts now.
    facts = Doubtful(
        running=doubt.running,
        ended=doubt.ended,
        reader=reader is not None,
        answer=answer,
        absence_counts=doubt.asked_at >= doubt.quiet_from + certainty.settle_ms * MILLISECOND,
        key_open=_key_open(step, direction, certainty, effect, now),
        tombstones=certainty.tombstones and not step.pivot,
        attempts_left=attempts_left(retry, effect.counted),
        waits=certainty.settle == "wait" or (step.pivot and reader is not None),
        time_left=now < doubt.since + certainty.settle_within_ms * MILLISECOND,
    )
    if direction == "undo":
        return settle_undo(facts)
    if not state.draining:
        return settle_forward(facts)
    move = settle_in_drain(facts)
    return "park" if move == "ended" and step.pivot else move


def policy_of(step: StepForm, direction: Direction) -> tuple[RetryForm, Certainty]:
    """Retry policy and promises of the step, or of its undo."""
    if direction == "forward":
        return step.retry, step.certainty
    assert step.undo is not None, "only a step with an undo is undone"
    return step.undo.retry, step.undo.certainty


def schedule_retry(turn: Turn, path: str, direction: Direction, *, retry_after_ms: int | None = None) -> None:
    """Put the next try off by the policy's wait."""
    effect = turn.state.effect(path, direction)
    retry, _ = policy_of(turn.plan.steps[path], direction)
    wait_ms = delay_ms(
        retry,
        saga_id=turn.state.saga_id,
        path=f"{path}:{direction}",
        attempt=effect.attempt,
        counted=effect.counted,
        retry_after_ms=retry_after_ms,
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


def _key_open(step: StepForm, direction: Direction, certainty: Certainty, effect: Effect, now: Instant) -> bool:
    """Whether a request sent now still meets a participant that remembers the key when it arrives."""
    if not certainty.deduplicates:
        return False
    if certainty.window_ms is None or effect.key_used_at is None:
        return True
    handler = step.handler if direction == "forward" or step.undo is None else step.undo.handler
    return now + handler.timeout_ms * MILLISECOND <= effect.key_used_at + certainty.window_ms * MILLISECOND


def _ask_again(turn: Turn, path: str, direction: Direction) -> None:
    effect = turn.state.effect(path, direction)
    doubt = effect.doubt
    assert doubt is not None, "only an effect in doubt is asked about"
    _, certainty = policy_of(turn.plan.steps[path], direction)
    soonest = turn.now + polling_delay_ms((turn.now - doubt.since) // MILLISECOND) * MILLISECOND
    believable = 0 if doubt.ended else doubt.quiet_from + certainty.settle_ms * MILLISECOND
    role = "lookup" if direction == "forward" else "verify"
    due_at = text_of(max(soonest, believable))
    turn.emit(
        RetryScheduled(path=path, direction=direction, role=role, attempt=effect.asks + 1, due_at=due_at)  # type: ignore[arg-type]
    )


def _absent(turn: Turn, path: str, direction: Direction) -> None:
    effect = turn.state.effect(path, direction)
    turn.emit(
        StepSettled(
            path=path,
            direction=direction,
            attempt=effect.attempt,
            state="absent",
            by="lookup" if direction == "forward" else "readback",
            kind=None,
            message=None,
            result=None,
            external_id=None,
            readback=False,
        )
    )


def _tombstone(turn: Turn, path: str) -> None:
    effect = turn.state.effect(path, "forward")
    turn.emit(
        StepSettled(
            path=path,
            direction="forward",
            attempt=effect.attempt,
            state="tombstone",
            by="tombstone",
            kind=None,
            message=None,
            result=None,
            external_id=None,
            readback=False,
        )
    )


def _resend(turn: Turn, path: str, direction: Direction, answer: Answer) -> None:
    """The same request under the same key: at once if it was lost with its worker, else after the policy's wait."""
    effect = turn.state.effect(path, direction)
    doubt = effect.doubt
    assert doubt is not None, "only an effect in doubt is sent again"
    if not turn.state.draining and answer == "absent" and (doubt.ended or _absence_counts(turn, path, direction)):
        _absent(turn, path, direction)
    if effect.phase != "retrying" and doubt.reason != "lost":
        schedule_retry(turn, path, direction)
        return
    if direction == "forward":
        request_step(turn, turn.plan.steps[path])
    else:
        request_undo(turn, turn.plan.steps[path])


def _absence_counts(turn: Turn, path: str, direction: Direction) -> bool:
    doubt = turn.state.effect(path, direction).doubt
    _, certainty = policy_of(turn.plan.steps[path], direction)
    return doubt is not None and doubt.asked_at >= doubt.quiet_from + certainty.settle_ms * MILLISECOND


def _give_up(turn: Turn, path: str, direction: Direction, answer: Answer) -> None:
    effect = turn.state.effect(path, direction)
    doubt = effect.doubt
    assert doubt is not None, "only an effect in doubt is given up this way"
    if answer == "absent" and (doubt.ended or _absence_counts(turn, path, direction)):
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
    still_running = effect.doubt is not None and effect.doubt.running
    why = "attempt still running" if still_running else f"in doubt and nothing can settle it: {failure.message}"
    phase = "forward" if not turn.state.draining and direction == "forward" else "undo"
    turn.emit(SagaParked(phase=phase, step=path, kind="in_doubt", why=why))  # type: ignore[arg-type]
