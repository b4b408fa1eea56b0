"""Facts from handlers: what a reply, a read-back or a lookup adds to the log before anything is decided."""

from amends.coordinator.core.messages import Done, Ended, Failed, No, NoAnswer, ReadBack, Replied, Unknown, Yes
from amends.coordinator.core.retrying import polling_delay_ms
from amends.coordinator.core.settle import settle
from amends.coordinator.core.state import Effect
from amends.coordinator.core.turn import Turn
from amends.schemas.events import (
    LateReplyRecorded,
    RetryScheduled,
    StepFailed,
    StepInDoubt,
    StepSettled,
    StepSucceeded,
    StepVerified,
    UndoFailed,
    UndoSucceeded,
    UndoVerified,
)
from amends.schemas.instants import MILLISECOND, text_of


def record_reply(turn: Turn, message: Replied) -> None:
    """The reply to a request. One that nobody waits for any more changes nothing."""
    effect = turn.state.effect(message.path, message.direction)
    if effect.attempt != message.attempt or not _attempt_open(effect):
        return
    if turn.state.closed:
        _record_late(turn, message)
        return
    turn.emit(*message.notes)
    if message.direction == "forward":
        _record_step(turn, message, effect)
    else:
        _record_undo(turn, message, effect)


def record_readback(turn: Turn, message: ReadBack) -> None:
    """The reply to a question. An old question's answer changes nothing."""
    effect = turn.state.effect(message.path, message.direction)
    if turn.state.closed or effect.asks != message.asked:
        return
    if effect.phase == "verifying" and message.role == "verify":
        turn.emit(*message.notes)
        _record_verify(turn, message, effect)
    elif effect.phase in {"in_doubt", "ended"}:
        turn.emit(*message.notes)
        _record_lookup(turn, message, effect)


def _attempt_open(effect: Effect) -> bool:
    return effect.phase == "requested" or (
        effect.phase == "in_doubt" and effect.doubt is not None and effect.doubt.running
    )


def _record_late(turn: Turn, message: Replied) -> None:
    answer = message.answer
    kind = {Done: "succeeded", Failed: "failed"}.get(type(answer), "unknown")
    turn.emit(
        LateReplyRecorded(
            path=message.path,
            direction=message.direction,
            attempt=message.attempt,
            answer=kind,  # type: ignore[arg-type]
            message=None if isinstance(answer, Done) else answer.message,
            result=answer.result if isinstance(answer, Done) else None,
        )
    )


def _record_step(turn: Turn, message: Replied, effect: Effect) -> None:
    step, answer = turn.plan.steps[message.path], message.answer
    if isinstance(answer, Done):
        _record_success(turn, message, answer)
    elif isinstance(answer, Failed):
        if effect.doubt is not None and not _covers_the_doubt(answer):
            _doubt(turn, message, answer.kind, answer.message, running=False)
            return
        turn.retry_after_ms = answer.retry_after_ms
        turn.emit(
            StepFailed(
                path=message.path,
                attempt=message.attempt,
                kind=answer.kind,
                message=answer.message,
                retriable=answer.retriable,
            )
        )
    elif not step.acts:
        turn.emit(
            StepFailed(
                path=message.path, attempt=message.attempt, kind=answer.kind, message=answer.message, retriable=True
            )
        )
    elif isinstance(answer, Unknown):
        _doubt(turn, message, answer.kind, answer.message, running=answer.running)
    else:
        _ended(turn, message, answer)


def _record_success(turn: Turn, message: Replied, answer: Done) -> None:
    assert answer.result is not None, "a step's reply carries its result"
    step = turn.plan.steps[message.path]
    readback = step.verify is not None and (step.pivot or not turn.state.draining)
    turn.emit(
        StepSucceeded(
            path=message.path,
            attempt=message.attempt,
            result=answer.result,
            external_id=answer.external_id,
            readback=readback,
        )
    )


def _covers_the_doubt(answer: Failed) -> bool:
    """Whether a definite failure speaks for the earlier request under the key too: a participant's verdict does."""
    return not answer.retriable and answer.kind not in {"withdrawn", "permission_denied"}


def _record_undo(turn: Turn, message: Replied, effect: Effect) -> None:
    answer = message.answer
    if isinstance(answer, Done):
        turn.emit(UndoSucceeded(path=message.path, attempt=message.attempt, external_id=answer.external_id))
        if turn.plan.readback(message.path, "undo") is None:
            turn.emit(UndoVerified(path=message.path, by="reply"))
    elif isinstance(answer, Failed):
        if effect.doubt is not None and not _covers_the_doubt(answer):
            _doubt(turn, message, answer.kind, answer.message, running=False)
            return
        turn.retry_after_ms = answer.retry_after_ms
        turn.emit(
            UndoFailed(
                path=message.path,
                attempt=message.attempt,
                kind=answer.kind,
                message=answer.message,
                retriable=answer.retriable,
            )
        )
    elif isinstance(answer, Unknown):
        _doubt(turn, message, answer.kind, answer.message, running=answer.running)
    else:
        _ended(turn, message, answer)


def _doubt(turn: Turn, message: Replied, kind: str, text: str, *, running: bool) -> None:
    turn.emit(
        StepInDoubt(
            path=message.path,
            direction=message.direction,
            attempt=message.attempt,
            reason=kind,
            message=text,
            attempt_running=running,
        )
    )


def _ended(turn: Turn, message: Replied, answer: Ended) -> None:
    turn.emit(
        StepSettled(
            path=message.path,
            direction=message.direction,
            attempt=message.attempt,
            state="ended",
            by="exception",
            kind=answer.kind,
            message=answer.message,
            result=None,
            external_id=None,
            readback=False,
        )
    )


def _record_verify(turn: Turn, message: ReadBack, effect: Effect) -> None:
    if isinstance(message.answer, Yes):
        if message.direction == "forward":
            turn.emit(StepVerified(path=message.path, by="readback"))
        else:
            turn.emit(UndoVerified(path=message.path, by="readback"))
        return
    handler = turn.plan.readback(message.path, message.direction)
    assert handler is not None, "only what has a read-back is verified"
    assert effect.verify_since is not None, "verifying begins with a reply"
    waited_ms = (turn.now - effect.verify_since) // MILLISECOND
    due_at = turn.now + polling_delay_ms(waited_ms) * MILLISECOND
    if due_at <= effect.verify_since + handler.within_ms * MILLISECOND:
        turn.emit(
            RetryScheduled(
                path=message.path,
                direction=message.direction,
                role="verify",
                attempt=effect.asks + 1,
                due_at=text_of(due_at),
            )
        )
        return
    seen = message.answer.message if isinstance(message.answer, NoAnswer) else "the read-back says no"
    turn.emit(
        StepInDoubt(
            path=message.path,
            direction=message.direction,
            attempt=effect.attempt,
            reason="verify_false",
            message=f"{seen}, for {handler.within_ms} ms",
            attempt_running=False,
        )
    )


def _record_lookup(turn: Turn, message: ReadBack, effect: Effect) -> None:
    if isinstance(message.answer, Yes):
        step = turn.plan.steps[message.path]
        forward = message.direction == "forward"
        turn.emit(
            StepSettled(
                path=message.path,
                direction=message.direction,
                attempt=effect.attempt,
                state="present",
                by="lookup" if forward else "readback",
                kind=None,
                message=None,
                result=message.answer.result,
                external_id=message.answer.external_id,
                readback=forward and step.verify is not None and (step.pivot or not turn.state.draining),
            )
        )
        if not forward:
            turn.emit(UndoVerified(path=message.path, by="readback"))
    elif turn.state.status != "parked":
        answer = "absent" if isinstance(message.answer, No) else "unanswered"
        settle(turn, message.path, message.direction, answer)  # type: ignore[arg-type]
