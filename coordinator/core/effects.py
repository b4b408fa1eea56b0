"""Folds of the events that are about one effect: a step in one direction, from its request to its end."""

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from amends.coordinator.core.moment import PROGRESS, Moment, with_effect
from amends.coordinator.core.state import Awaited, Checked, Doubt, Effect, Fan, State, Undone, Verification
from amends.schemas import events as e
from amends.schemas.events import Event, Failure
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant, instant_of


def _requested(state: State, event: e.StepRequested | e.UndoRequested, moment: Moment) -> State:
    direction: Direction = "forward" if isinstance(event, e.StepRequested) else "undo"
    before = state.effect(event.path, direction)
    effect = replace(
        before,
        phase="requested",
        attempt=event.attempt,
        counted=before.counted + 1,
        generation=event.generation,
        key=event.idempotency_key,
        arguments=event.arguments,
        order=state.requests + 1 if direction == "forward" else before.order,
        requested_at=moment.at,
        key_used_at=moment.at if before.key_used_at is None else before.key_used_at,
        same_request=event.same_request,
        since=moment.at if before.since is None else before.since,
        timeout_at=instant_of(event.timeout_at),
        due_at=None,
        awaited=UNSET,
    )
    requests = state.requests + (direction == "forward")
    return with_effect(state, event.path, direction, effect, requests=requests, attempts=state.attempts + 1)


def _succeeded(state: State, event: e.StepSucceeded, moment: Moment) -> State:
    before = state.effect(event.path, "forward")
    effect = replace(
        before,
        phase="verifying" if event.readback else "done",
        result=event.result,
        external_id=event.external_id,
        verify_since=moment.at,
        doubt=before.doubt if event.readback else None,
        asks=before.asks + 1,
        due_at=None,
        settled=False,
        failure=None,
    )
    return with_effect(state, event.path, "forward", effect, **PROGRESS)


def _verified(state: State, event: e.StepVerified, moment: Moment) -> State:
    before = state.effect(event.path, "forward")
    effect = replace(
        before,
        phase="done",
        verified_by=event.by,
        since=moment.at if before.since is None else before.since,
        doubt=None,
        failure=None,
        due_at=None,
        awaited=_no_answer(before),
    )
    return with_effect(state, event.path, "forward", effect, **PROGRESS)


def _no_answer(effect: Effect) -> Awaited | UnsetType:
    """What is awaited but for an answer: a person, or evidence, has said what it could say."""
    awaited = effect.awaited
    return UNSET if awaited is not UNSET and awaited.awaits == "answer" else awaited


def _failed(state: State, event: e.StepFailed | e.UndoFailed, _: Moment) -> State:
    direction: Direction = "forward" if isinstance(event, e.StepFailed) else "undo"
    before = state.effect(event.path, direction)
    withdrawn = event.kind == "withdrawn"
    effect = replace(
        before,
        phase="failed",
        counted=before.counted - withdrawn,
        doubt=None,
        since=None,
        due_at=None,
        failure=Failure(step=event.path, attempt=event.attempt, kind=event.kind, message=event.message),
        retriable=event.retriable,
    )
    return with_effect(state, event.path, direction, effect, **({} if withdrawn else PROGRESS))


def _in_doubt(state: State, event: e.StepInDoubt, moment: Moment) -> State:
    before = state.effect(event.path, event.direction)
    uncounted = event.reason in {"lost", "withdrawn"}
    loose = not event.attempt_running or (before.doubt is not None and before.doubt.loose)
    effect = replace(
        before,
        phase="in_doubt",
        counted=before.counted - uncounted,
        due_at=None,
        asks=before.asks + 1,
        doubt=doubt_after(before, event, moment, reason=event.reason, running=event.attempt_running, loose=loose),
        failure=Failure(step=event.path, attempt=event.attempt, kind=event.reason, message=event.message),
    )
    return with_effect(state, event.path, event.direction, effect, **({} if uncounted else PROGRESS))


def doubt_after(
    before: Effect,
    event: e.StepInDoubt | e.StepSettled | e.LateReplyRecorded,
    moment: Moment,
    *,
    reason: str,
    running: bool,
    loose: bool,
) -> Doubt:
    """What is known of an effect whose attempt has left a doubt, or left it in one."""
    return Doubt(
        since=before.doubt.since if before.doubt else moment.at,
        attempt=before.doubt.attempt if before.doubt else event.attempt,
        quiet_from=moment.at,
        reason=reason,
        message=event.message or "",
        running=running,
        loose=loose,
        asked_at=moment.at,
    )


def _settled(state: State, event: e.StepSettled, moment: Moment) -> State:
    before = state.effect(event.path, event.direction)
    progress = {} if event.by == "tombstone" else PROGRESS
    return with_effect(state, event.path, event.direction, _settled_effect(before, event, moment), **progress)


def _settled_effect(before: Effect, event: e.StepSettled, moment: Moment) -> Effect:
    if event.state == "present":
        return replace(
            before,
            phase="verifying" if event.readback else "done",
            settled=True,
            result=event.result if event.result is not None else before.result,
            external_id=event.external_id or before.external_id,
            verify_since=moment.at,
            doubt=before.doubt if event.readback else None,
            asks=before.asks + 1,
            due_at=None,
            failure=None,
            awaited=UNSET,
        )
    if event.state == "ended":
        doubt = doubt_after(before, event, moment, reason=event.kind or "exception", running=False, loose=False)
        return replace(
            before,
            phase="ended",
            counted=before.counted - (doubt.reason == "withdrawn"),
            doubt=doubt,
            failure=Failure(step=event.path, attempt=event.attempt, kind=doubt.reason, message=doubt.message),
            asks=before.asks + 1,
            due_at=None,
        )
    if event.state == "absent":
        awaited = UNSET if event.by == "person" else before.awaited
        return replace(before, phase="absent", doubt=None, since=None, due_at=None, awaited=awaited)
    return replace(before, phase="tombstone", due_at=None)


def _skipped(state: State, event: e.StepSkipped, _: Moment) -> State:
    return with_effect(state, event.path, "forward", replace(state.effect(event.path, "forward"), phase="skipped"))


def _waits(state: State, event: e.WaitStarted, moment: Moment) -> State:
    before = state.effect(event.path, "forward")
    effect = replace(
        before,
        phase="waiting",
        attempt=event.attempt,
        counted=before.counted + 1,
        requested_at=moment.at,
        due_at=instant_of(event.due_at),
        failure=None,
        awaited=Awaited(awaits=event.awaits, correlation=event.correlation, message_type=event.message_type),
    )
    return with_effect(state, event.path, "forward", effect)


def _planned(state: State, event: e.FanOutPlanned, _: Moment) -> State:
    return _repeating(state, event.path, Fan(count=len(event.keys), items=event.items), None)


def _round(state: State, event: e.RoundPlanned, _: Moment) -> State:
    return _repeating(state, event.path, Fan(count=event.round + 1), instant_of(event.due_at))


def _repeating(state: State, path: str, fan: Fan, due_at: Instant | None) -> State:
    fans = {**(state.fans or {}), path: fan}
    effect = replace(state.effect(path, "forward"), phase="repeating", due_at=due_at)
    return with_effect(state, path, "forward", effect, fans=fans)


def _repeated(state: State, event: e.FanOutEnded | e.LoopEnded, _: Moment) -> State:
    effect = replace(state.effect(event.path, "forward"), phase="done", due_at=None, failure=None)
    return with_effect(state, event.path, "forward", effect)


def _retry(state: State, event: e.RetryScheduled, _: Moment) -> State:
    before = state.effect(event.path, event.direction)
    due_at = instant_of(event.due_at)
    if event.role in {"step", "undo"}:
        return with_effect(state, event.path, event.direction, replace(before, phase="retrying", due_at=due_at))
    doubt = before.doubt and replace(before.doubt, asked_at=due_at)
    phase = "in_doubt" if before.phase == "retrying" else before.phase
    effect = replace(before, phase=phase, asks=before.asks + 1, due_at=due_at, doubt=doubt)
    return with_effect(state, event.path, event.direction, effect, **PROGRESS)


def _raised(state: State, event: e.GenerationRaised, _: Moment) -> State:
    before = state.effect(event.path, event.direction)
    effect = Effect(
        attempt=before.attempt,
        counted=0 if event.why == "person" else before.counted,
        generation=event.generation,
        order=before.order,
        asks=before.asks,
        failure=before.failure,
        correlations=before.correlations,
    )
    checked = state.expectations or {}
    if event.path in checked:
        others = {path: each for path, each in checked.items() if path != event.path}
        state = replace(state, expectations=others or UNSET)
    return with_effect(state, event.path, event.direction, effect)


def _undo_succeeded(state: State, event: e.UndoSucceeded, moment: Moment) -> State:
    before = state.effect(event.path, "undo")
    effect = replace(
        before,
        phase="verifying",
        external_id=event.external_id,
        verify_since=moment.at,
        asks=before.asks + 1,
        due_at=None,
        failure=None,
    )
    return with_effect(state, event.path, "undo", effect, **PROGRESS)


def _undo_verified(state: State, event: e.UndoVerified, _: Moment) -> State:
    effect = replace(
        state.effect(event.path, "undo"),
        phase="done",
        verified_by=event.by,
        doubt=None,
        failure=None,
        due_at=None,
        awaited=UNSET,
    )
    undone = (*state.undone, Undone(step=event.path, verified_by=event.by))
    return with_effect(state, event.path, "undo", effect, undone=undone, **PROGRESS)


def _pending(state: State, event: e.StepPending, _: Moment) -> State:
    before = state.effect(event.path, event.direction)
    doubt = before.doubt if before.doubt is not None and before.doubt.attempt != event.attempt else None
    effect = replace(
        before,
        phase="pending",
        external_id=event.external_id,
        due_at=instant_of(event.timeout_at),
        doubt=doubt and replace(doubt, running=False),
        failure=None,
        awaited=Awaited(awaits="answer", correlation=event.correlation, message_type=None),
        correlations={**(before.correlations or {}), event.correlation: before.generation},
    )
    return with_effect(state, event.path, event.direction, effect, **PROGRESS)


def _answered(state: State, event: e.AnswerReceived, _: Moment) -> State:
    """Whoever does not know may know later."""
    before = state.effect(event.path, event.direction)
    if event.answer == "unknown":
        return state
    return with_effect(state, event.path, event.direction, replace(before, awaited=UNSET))


def _checked(state: State, event: e.ExpectationChecked, _: Moment) -> State:
    effect = replace(state.effect(event.path, "forward"), phase="done", due_at=None)
    expectations = {**(state.expectations or {}), event.path: Checked(held=event.held, message=event.message)}
    return with_effect(state, event.path, "forward", effect, expectations=expectations, **PROGRESS)


def _planned_verification(state: State, event: e.VerificationPlanned, _: Moment) -> State:
    planned = Verification(path=event.path, direction=event.direction, due_at=instant_of(event.due_at))
    return replace(state, verifications=(*(state.verifications or ()), planned))


def _asked_verification(state: State, event: e.VerificationRequested, moment: Moment) -> State:
    def asked(each: Verification) -> Verification:
        first = moment.at if each.asked_at is None else each.asked_at
        return replace(each, number=event.number, due_at=instant_of(event.due_at), asked_at=first)

    due_at = instant_of(event.due_at)
    progress = PROGRESS if due_at > moment.at else {}  # One that is put off was answered before; no stop cut it off.
    return replace(state, verifications=_with(state, event, asked), **progress)


def _amended(state: State, event: e.OutcomeAmended, moment: Moment) -> State:
    def amended(each: Verification) -> Verification:
        return replace(each, held=event.held, message=event.message)

    state = replace(
        state,
        verifications=_with(state, event, amended),
        outcome_version=moment.version,
        superseded_version=state.outcome_version,
        **PROGRESS,
    )
    if not event.held:
        return state
    effect = replace(state.effect(event.path, event.direction), verified_by="readback")
    undone = tuple(
        replace(each, verified_by="readback") if event.direction == "undo" and each.step == event.path else each
        for each in state.undone
    )
    return with_effect(state, event.path, event.direction, effect, undone=undone)


def _with(
    state: State,
    event: e.VerificationRequested | e.OutcomeAmended,
    now: Callable[[Verification], Verification],
) -> tuple[Verification, ...]:
    path, direction = event.path, event.direction
    return tuple(
        now(each) if each.path == path and each.direction == direction else each for each in state.verifications or ()
    )


EFFECT_FOLDS: dict[type[Event], Callable[[State, Any, Moment], State]] = {
    e.StepRequested: _requested,
    e.StepSucceeded: _succeeded,
    e.StepFailed: _failed,
    e.StepInDoubt: _in_doubt,
    e.StepSettled: _settled,
    e.StepSkipped: _skipped,
    e.WaitStarted: _waits,
    e.StepPending: _pending,
    e.AnswerReceived: _answered,
    e.StepVerified: _verified,
    e.ExpectationChecked: _checked,
    e.VerificationPlanned: _planned_verification,
    e.VerificationRequested: _asked_verification,
    e.OutcomeAmended: _amended,
    e.FanOutPlanned: _planned,
    e.FanOutEnded: _repeated,
    e.RoundPlanned: _round,
    e.LoopEnded: _repeated,
    e.RetryScheduled: _retry,
    e.GenerationRaised: _raised,
    e.UndoRequested: _requested,
    e.UndoSucceeded: _undo_succeeded,
    e.UndoFailed: _failed,
    e.UndoVerified: _undo_verified,
}
