"""Facts from handlers: what a reply, a read-back or a lookup adds to the log before anything is decided."""

from typing import Final, Literal

from msgspec.structs import replace

from amends.coordinator.core.asking import question
from amends.coordinator.core.messages import Done, Ended, Failed, No, NoAnswer, Pends, ReadBack, Replied, Unknown, Yes
from amends.coordinator.core.pending import begin_pending, refused_key
from amends.coordinator.core.retrying import polling_delay_ms
from amends.coordinator.core.settle import doubt_of, key_open, settle, time_left
from amends.coordinator.core.state import Effect
from amends.coordinator.core.turn import Turn
from amends.coordinator.core.verifying import record_verification
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

_OUR_OWN: Final = frozenset({"withdrawn", "permission_denied", "invalid_argument"})
"""Kinds of failure that say nothing about what the participant did before."""


def record_reply(turn: Turn, message: Replied) -> None:
    """The reply to a request. One that nobody waits for any more changes nothing."""
    effect = turn.state.effect(message.path, message.direction)
    if effect.attempt != message.attempt or not effect.attempt_open or _known_to_run(message, effect):
        return
    if (
        isinstance(message.answer, Pends)
        and (refused := refused_key(turn, message, effect, message.answer)) is not None
    ):
        message = replace(message, answer=refused)
    if turn.state.closed:
        record_late(turn, message, effect)
        return
    if message.notes:
        turn.emit(*message.notes)
    record_outcome(turn, message, effect)


def record_outcome(turn: Turn, message: Replied, effect: Effect, *, answered: bool = False) -> None:
    """What came of a request, as its reply says or, `answered`, a message of the participant."""
    if isinstance(message.answer, Pends):
        begin_pending(turn, message, message.answer)
    elif message.direction == "forward":
        _record_step(turn, message, effect, answered=answered)
    else:
        _record_undo(turn, message, effect, answered=answered)


def _known_to_run(message: Replied, effect: Effect) -> bool:
    """Whether all it says is that the attempt runs past its timeout, and that was said before."""
    return isinstance(message.answer, Unknown) and message.answer.running and effect.phase == "in_doubt"


def record_readback(turn: Turn, message: ReadBack) -> None:
    """The reply to a question. An old question's answer changes nothing."""
    if turn.state.closed:
        record_verification(turn, message)
        return
    effect = turn.state.effect(message.path, message.direction)
    if effect.asks != message.asked:
        return
    if message.role != question(turn.plan, turn.state, message.path, message.direction, turn.now):
        return
    turn.emit(*message.notes)
    if effect.phase == "verifying":
        _record_verify(turn, message, effect)
    else:
        _record_lookup(turn, message, effect)


def record_late(turn: Turn, message: Replied, effect: Effect, *, answered: bool = False) -> None:
    """What comes when nothing is decided by it any more: it corrects the exposure."""
    answer = message.answer
    if isinstance(answer, Pends):
        begin_pending(turn, message, answer)  # so that its answer is found
        return
    if isinstance(answer, Unknown) and answer.running:
        return  # It says nothing yet; the attempt's own reply is still to come.
    kind: Literal["succeeded", "failed", "unknown"] = "unknown"
    if isinstance(answer, Done):
        kind = "succeeded"
    elif isinstance(answer, Failed) and _is_definite(turn, message, answer, effect, answered=answered):
        kind = "failed"
    turn.emit(
        LateReplyRecorded(
            path=message.path,
            direction=message.direction,
            attempt=message.attempt,
            answer=kind,
            message=None if isinstance(answer, Done) else answer.message,
            result=answer.result if isinstance(answer, Done) else None,
        )
    )


def _record_step(turn: Turn, message: Replied, effect: Effect, *, answered: bool) -> None:
    step, answer = turn.plan.steps[message.path], message.answer
    if isinstance(answer, Done):
        _record_success(turn, message, answer)
    elif isinstance(answer, Failed):
        _note_wish(turn, message, answer)
        if not _is_definite(turn, message, answer, effect, answered=answered):
            _not_settled(turn, message, answer, effect)
            return
        turn.emit(
            StepFailed(
                path=message.path,
                attempt=message.attempt,
                kind=answer.kind,
                message=answer.message,
                retriable=answer.retriable,
            )
        )
    elif not step.acts and not isinstance(answer, Pends):
        turn.emit(
            StepFailed(
                path=message.path, attempt=message.attempt, kind=answer.kind, message=answer.message, retriable=True
            )
        )
    elif isinstance(answer, Unknown):
        _doubt(turn, message, answer.kind, answer.message, running=answer.running)
    elif isinstance(answer, Ended):
        _not_settled(turn, message, answer, effect)


def _record_success(turn: Turn, message: Replied, answer: Done) -> None:
    assert answer.result is not None, "a step's reply carries its result"
    turn.emit(
        StepSucceeded(
            path=message.path,
            attempt=message.attempt,
            result=answer.result,
            external_id=answer.external_id,
            readback=_read_back(turn, message.path),
        )
    )


def _read_back(turn: Turn, path: str) -> bool:
    """Whether the world is asked before the step counts as done; not for what is undone next."""
    step = turn.plan.steps[path]
    return turn.plan.readback(path, "forward") is not None and (step.pivot or not turn.state.draining)


def _is_definite(turn: Turn, message: Replied, answer: Failed, effect: Effect, *, answered: bool) -> bool:
    """Whether a failure says that nothing happened, also by an earlier request under the key that is in doubt.

    That one it covers only if it is the verdict of a participant that knows the key: not if nobody was reached. Who
    answers later has the request on record, so what it says holds for the key, also where another may go well.
    """
    doubt = effect.doubt
    if doubt is None or doubt.attempt == message.attempt:
        return True
    step = turn.plan.steps[message.path]
    verdict = answered or (not answer.retriable and answer.kind not in _OUR_OWN)
    return verdict and key_open(step, message.direction, effect, effect.requested_at or turn.now)


def _note_wish(turn: Turn, message: Replied, answer: Failed) -> None:
    if answer.retry_after_ms is not None:
        turn.retry_after_ms[message.path, message.direction] = answer.retry_after_ms


def _not_settled(turn: Turn, message: Replied, answer: Failed | Ended, effect: Effect) -> None:
    """This attempt is over, but what was done under its key is not known. An earlier one may even land late."""
    if effect.doubt is not None and effect.doubt.loose:
        _doubt(turn, message, answer.kind, answer.message, running=False)
    else:
        _ended(turn, message, answer)


def _record_undo(turn: Turn, message: Replied, effect: Effect, *, answered: bool) -> None:
    answer = message.answer
    if isinstance(answer, Done):
        turn.emit(UndoSucceeded(path=message.path, attempt=message.attempt, external_id=answer.external_id))
        if turn.plan.readback(message.path, "undo") is None:
            turn.emit(UndoVerified(path=message.path, by="reply"))
    elif isinstance(answer, Failed):
        _note_wish(turn, message, answer)
        if not _is_definite(turn, message, answer, effect, answered=answered):
            _not_settled(turn, message, answer, effect)
            return
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
    elif isinstance(answer, Ended):
        _not_settled(turn, message, answer, effect)


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


def _ended(turn: Turn, message: Replied, answer: Failed | Ended) -> None:
    turn.emit(
        StepSettled(
            path=message.path,
            direction=message.direction,
            attempt=message.attempt,
            state="ended",
            by="exception" if isinstance(answer, Ended) else "reply",
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
    believed = not (_contradicted(turn, message, effect) or _may_land_yet(turn, message, effect))
    if isinstance(message.answer, Yes) and believed:
        _found(turn, message, message.answer, effect)
    elif turn.state.status != "parked":
        settle(turn, message.path, message.direction, "absent" if isinstance(message.answer, No) else "unanswered")


def _contradicted(turn: Turn, message: ReadBack, effect: Effect) -> bool:
    """Whether the lookup keeps finding what the read-back keeps denying, for as long as a doubt may last."""
    if message.direction == "undo" or not _read_back(turn, message.path):
        return False
    doubt = doubt_of(effect)
    return doubt.reason == "verify_false" and not time_left(turn.plan.steps[message.path], "forward", doubt, turn.now)


def _may_land_yet(turn: Turn, message: ReadBack, effect: Effect) -> bool:
    """Whether an undo that is to kill a late request finds nothing to undo, because the request has not landed yet."""
    forward = turn.state.effect(message.path, "forward")
    if message.direction == "forward" or forward.phase != "tombstone" or forward.doubt is None:
        return False
    settle_ms = turn.plan.steps[message.path].certainty.settle_ms
    return forward.doubt.loose and doubt_of(effect).asked_at < forward.doubt.quiet_from + settle_ms * MILLISECOND


def _found(turn: Turn, message: ReadBack, answer: Yes, effect: Effect) -> None:
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
            result=answer.result,
            external_id=answer.external_id,
            readback=forward and _read_back(turn, message.path),
        )
    )
    if not forward:
        turn.emit(UndoVerified(path=message.path, by="readback"))
