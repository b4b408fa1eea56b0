"""`decide`: the only place where anything is chosen (rule 1).

First the message becomes facts, then whatever the state makes due is decided, stage by stage, until nothing more is.
No clock, no randomness, no I/O: the same arguments give the same events.
"""

from typing import assert_never

from amends.coordinator.core import people
from amends.coordinator.core.answering import record_answer
from amends.coordinator.core.compensate import compensate
from amends.coordinator.core.drain import drain
from amends.coordinator.core.forward import go_forward
from amends.coordinator.core.locking import release_lock, request_locks, take_locks
from amends.coordinator.core.messages import (
    CancelWished,
    Delivered,
    KillWished,
    LocksGranted,
    Message,
    ReadBack,
    Recovered,
    ReleaseWished,
    Replied,
    RerunWished,
    ResolutionWished,
    SavepointWished,
    Start,
    Tick,
)
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.recovery import recover
from amends.coordinator.core.replies import record_readback, record_reply
from amends.coordinator.core.savepoints import choose_savepoint, too_late_for_savepoint
from amends.coordinator.core.state import State
from amends.coordinator.core.turn import BEGUN_MAX, Payloads, Turn
from amends.coordinator.core.verifying import ask_due
from amends.coordinator.core.waiting import record_message
from amends.schemas.events import DrainStarted, Event, RerunStarted, SagaStarted, StepRequested, UndoRequested
from amends.schemas.instants import MILLISECOND, Instant, text_of

STAGES_MAX = 4 * BEGUN_MAX
"""More stages than any decision has: what is begun may be over at once, a wait for an instant that has been, say."""

_INTENTS = {StepRequested, UndoRequested}
"""Nothing is due because of an intent: a stage that ends in these alone would find nothing more."""


def decide(
    plan: Plan, state: State | None, message: Message, now: Instant, payloads: Payloads
) -> tuple[tuple[Event, ...], State]:
    """The events that follow from `message`, and the state after them (its version and hash are the caller's).

    No events means that the message changes nothing. `now` is not before the last entry's time (rule 15).
    """
    if isinstance(message, Start):
        return _start(plan, message, now, payloads)
    assert state is not None, "only a start makes a run"
    turn = Turn(plan=plan, state=state, now=max(now, state.at), payloads=payloads)
    if isinstance(message, Tick):
        turn.given_up = lambda path: path not in message.met
    _record(turn, message)
    _advance(turn)
    return tuple(turn.events), turn.state


def _start(plan: Plan, message: Start, now: Instant, payloads: Payloads) -> tuple[tuple[Event, ...], State]:
    state = State(
        namespace=message.namespace,
        saga_id=message.saga_id,
        saga=plan.form.name,
        definition_version=plan.form.version,
        definition_hash=plan.hash,
    )
    turn = Turn(plan=plan, state=state, now=now, payloads=payloads)
    turn.emit(
        SagaStarted(
            idempotency_key=message.idempotency_key,
            business_key=message.business_key,
            generation=message.generation,
            origin=message.origin,
            trigger=message.trigger,
            request_digest=message.request_digest,
            deadline_at=text_of(now + plan.form.deadline_ms * MILLISECOND),
            shard=message.shard,
            traceparent=message.traceparent,
        )
    )
    if message.rerun is not None:
        turn.emit(RerunStarted(former=message.rerun.former, reason=message.rerun.reason))
    request_locks(turn)
    _advance(turn)
    return tuple(turn.events), turn.state


def _record(turn: Turn, message: Message) -> None:  # noqa: C901, PLR0912  one case for each message
    match message:
        case Replied():
            record_reply(turn, message)
        case ReadBack():
            record_readback(turn, message)
        case Delivered(answer=None):
            record_message(turn, message)
        case Delivered():
            record_answer(turn, message)
        case Recovered(clean=clean):
            recover(turn, clean=clean)
        case CancelWished(reason=reason):
            people.cancel(turn, reason)
        case KillWished(reason=reason):
            people.kill(turn, reason)
        case LocksGranted():
            take_locks(turn)
        case ReleaseWished(key=key, reason=reason):
            release_lock(turn, key, reason)
        case ResolutionWished():
            people.resolve(turn, message)
        case SavepointWished():
            choose_savepoint(turn, message)
        case Tick():
            pass
        case Start() | RerunWished():
            raise AssertionError("it makes a run, it does not reach one")
        case _:
            assert_never(message)


def _advance(turn: Turn) -> None:
    for _ in range(STAGES_MAX):
        decided = len(turn.events)
        _stage(turn)
        for event in turn.events[decided:]:
            if type(event) not in _INTENTS:
                break
        else:
            return
    raise AssertionError(f"the decision does not come to rest: {turn.events[-4:]}")


def _stage(turn: Turn) -> None:
    state = turn.state
    if state.closed:
        ask_due(turn)
        return
    if state.status == "parked":
        return
    if too_late_for_savepoint(state, turn.now):
        turn.emit(DrainStarted(cause="deadline", failure=None, reason=None))
    elif state.draining:
        drain(turn)
    elif state.undo_list is not None:
        compensate(turn)
    else:
        go_forward(turn)
