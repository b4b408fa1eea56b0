"""Waits: what is awaited from outside begins, is met, or is given up at its recorded instant (rule 15).

Nothing runs meanwhile, so a stop of the owner cuts nothing off and a run that turns back simply waits no longer.
"""

from typing import Final, Literal, assert_never

import msgspec

from amends.coordinator.core.messages import Delivered
from amends.coordinator.core.pending import open_answers
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.soonest import soonest
from amends.coordinator.core.state import Awaited, Effect, State
from amends.coordinator.core.turn import Turn
from amends.coordinator.core.verifying import asked_verifications, awaited_verifications, open_verifications
from amends.coordinator.definition.expression import field_of
from amends.coordinator.definition.form import CORRELATION, UNTIL, Argument, StepForm
from amends.schemas.canonical import digest
from amends.schemas.events import (
    MessageReceived,
    SagaParked,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    WaitStarted,
)
from amends.schemas.instants import MILLISECOND, Instant, instant_of, text_of
from amends.schemas.keys import BadKey, key_of

NOTHING: Final = b"null"
NOTHING_DIGEST: Final = digest(NOTHING)
"""The result of a wait for an instant."""

_AT_REST: Final = frozenset({"waiting", "pending", "repeating", "done", "skipped", "idle"})
_AT_WORK: Final = frozenset({"requested", "in_doubt", "retrying", "verifying", "ended"})


class _Unusable(ValueError):
    """The value is no key, or no instant."""


def begin_wait(turn: Turn, step: StepForm) -> None:
    """Write down what is awaited and until when; fail at once if that cannot be said."""
    wait = step.wait
    assert wait is not None, "only a step of kind wait waits"
    key: str | None = None
    attempt = turn.state.effect(step.path, "forward").attempt + 1
    due_at = turn.now + step.handler.timeout_ms * MILLISECOND
    try:
        match wait.awaits:
            case "message":
                key = _key(_value(turn, step.handler.arguments[CORRELATION]))
            case "instant":
                due_at = _instant(_value(turn, step.handler.arguments[UNTIL]))
            case "pause":
                pass
            case _:
                assert_never(wait.awaits)
    except _Unusable as error:
        _fail(turn, step, attempt, "invalid_argument", str(error))
        return
    turn.emit(
        WaitStarted(
            path=step.path,
            attempt=attempt,
            awaits=wait.awaits,
            correlation=key,
            message_type=wait.message_type,
            due_at=text_of(due_at),
        )
    )


def end_wait(turn: Turn, step: StepForm) -> None:
    """Its instant has come: what was waited for by time is there, a message is not, unless it is on its way."""
    wait, effect = step.wait, turn.state.effect(step.path, "forward")
    assert wait is not None, "only a step of kind wait waits"
    if wait.awaits != "message":
        _met(turn, step.path, effect, NOTHING_DIGEST)
        return
    if not turn.given_up(step.path):
        return
    if wait.on_timeout == "skip":
        turn.emit(StepSkipped(path=step.path, because="timeout"))
        return
    message = f"no message {wait.message_type} came for {_awaited(effect).correlation} in time"
    _fail(turn, step, effect.attempt, "timeout", message)
    if wait.on_timeout == "park":
        turn.emit(SagaParked(phase="forward", step=step.path, kind="timeout", why=message))


def record_message(turn: Turn, message: Delivered) -> None:
    """A message for what waits. One that nobody waits for any more changes nothing: it is another's (`takes`)."""
    if not takes(turn.state, message.path, message.correlation, message.message_type):
        return
    assert message.body is not None, "what a wait is met with was read"
    turn.emit(
        MessageReceived(
            path=message.path,
            message_id=message.message_id,
            correlation=message.correlation,
            message_type=message.message_type,
            body=message.body,
        )
    )
    _met(turn, message.path, turn.state.effect(message.path, "forward"), message.body)


def takes(state: State, path: str, correlation: str, message_type: str) -> bool:
    """Whether a message of this key and type is what the step waits for now."""
    effect = state.effect(path, "forward")
    if state.closed or effect.phase != "waiting" or effect.awaited is msgspec.UNSET:
        return False
    awaited = effect.awaited
    return (awaited.awaits, awaited.correlation, awaited.message_type) == ("message", correlation, message_type)


def open_waits(state: State) -> dict[str, Awaited]:
    """What messages are awaited now, by path; of an undo's answer by the undo's place.

    Answers are, also after the end, until one has come: it says what is left in the world.
    """
    answers = open_answers(state)
    found = {place: Awaited(awaits="answer", correlation=key, message_type=None) for place, key in answers.items()}
    if not state.closed:
        for path, effect in state.forward.items():
            awaited = effect.awaited
            if effect.phase == "waiting" and awaited is not msgspec.UNSET and awaited.awaits == "message":
                found[path] = awaited
    return found


def overdue_waits(state: State, now: Instant) -> dict[str, Awaited]:
    """Waits for a message whose time is over, and which nobody has given up."""
    if state.closed or state.status != "running":
        return {}
    return {
        path: effect.awaited
        for path, effect in state.forward.items()
        if effect.phase == "waiting"
        and effect.awaited is not msgspec.UNSET
        and effect.awaited.awaits == "message"
        and effect.due_at is not None
        and effect.due_at <= now
    }


def rests(plan: Plan, state: State) -> bool:
    """Whether nothing is to be done in the run before a message or an instant comes."""
    if state.closed:
        asked = asked_verifications(plan, state)
        return bool(open_verifications(state)) and all(handler in plan.missing for _, handler in asked)
    if waited_for(plan, state) is not None:
        return True
    if not plan.waits or state.status != "compensating":
        return False
    phases = {effect.phase for effect in (state.forward if state.undo_list is None else state.undo).values()}
    return "pending" in phases and not phases & _AT_WORK


def waited_for(plan: Plan, state: State) -> str | None:
    """What a run waits for in which nothing else is to be done, and until when; None for one that is at work."""
    if state.closed:
        return awaited_verifications(state)
    if not plan.waits or state.status != "running":
        return None
    waits: list[tuple[Instant, str]] = []
    for path, effect in state.forward.items():
        if effect.phase not in _AT_REST:
            return None
        if effect.phase in {"waiting", "pending"} and effect.due_at is not None:
            waits.append((effect.due_at, path))
    return soonest(waits, lambda due_at, path: f"{_named(path, state.forward[path])} {text_of(due_at)}")


def _key(value: object) -> str:
    """The correlation key as text: whoever sends a message writes it so."""
    try:
        key = key_of(value, CORRELATION)
    except BadKey as error:
        raise _Unusable(f"the correlation key cannot be one: {error.detail}") from None
    if key is None:
        raise _Unusable("the correlation key is null, empty or absent")
    return key


def _instant(value: object) -> Instant:
    if isinstance(value, str):
        try:
            return instant_of(value)
        except ValueError:
            pass
    raise _Unusable(f"the instant to wait for is no RFC 3339 time with an offset but {type(value).__name__}")


def _value(turn: Turn, argument: Argument) -> object:
    return field_of(turn.value(argument.step), argument.field)


def _met(turn: Turn, path: str, effect: Effect, result: str) -> None:
    turn.emit(StepSucceeded(path=path, attempt=effect.attempt, result=result, external_id=None, readback=False))


def _fail(turn: Turn, step: StepForm, attempt: int, kind: Literal["timeout", "invalid_argument"], message: str) -> None:
    turn.emit(StepFailed(path=step.path, attempt=attempt, kind=kind, message=message, retriable=False))


def _awaited(effect: Effect) -> Awaited:
    assert effect.awaited is not msgspec.UNSET, "a wait says what it awaits"
    return effect.awaited


def _named(path: str, effect: Effect) -> str:
    awaited = _awaited(effect)
    if awaited.awaits == "message":
        return f"{path}: message {awaited.message_type} for {awaited.correlation} until"
    if awaited.awaits == "answer":
        return f"{path}: an answer for {awaited.correlation} until"
    return f"{path}:"
