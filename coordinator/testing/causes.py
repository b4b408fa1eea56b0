"""The message that an entry followed from, read off the entry: history holds all that a decision was made of."""

from amends.coordinator.core.commands import commands
from amends.coordinator.core.messages import (
    Answer,
    CancelWished,
    Delivered,
    Done,
    Ended,
    Failed,
    KillWished,
    LocksGranted,
    Message,
    No,
    NoAnswer,
    Note,
    Pends,
    ReadBack,
    Recovered,
    ReleaseWished,
    Replied,
    RerunOf,
    ResolutionWished,
    Said,
    SavepointWished,
    Start,
    Tick,
    Unknown,
    Yes,
)
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import overdue_waits
from amends.schemas import events as e
from amends.schemas.entry import Entry
from amends.schemas.events import Event
from amends.schemas.instants import MILLISECOND, Instant, instant_of

DoneOrNot = Done | Failed | Unknown | Ended


class NoMessage(Exception):
    """From what an entry says, nobody can tell what it was decided from."""


def message_of(plan: Plan, state: State | None, entry: Entry) -> Message:  # noqa: C901  one case for each cause
    """What `decide` was told when it decided this entry. Raises `NoMessage` where the entry does not say it."""
    notes = tuple(event for event in entry.events if isinstance(event, Note))
    first = next((event for event in entry.events if not isinstance(event, Note)), None)
    if first is None:
        raise NoMessage("it holds nothing but evidence")
    match entry.cause:
        case "trigger" | "rerun" if isinstance(first, e.SagaStarted):
            return _start(entry, first)
        case "timer":
            return _tick(state, entry)
        case "message" if isinstance(first, e.MessageReceived):
            return Delivered(
                path=first.path,
                message_id=first.message_id,
                correlation=first.correlation,
                message_type=first.message_type,
                body=first.body,
            )
        case "message" if isinstance(first, e.AnswerReceived):
            return _answered(entry, first)
        case "recovery" if isinstance(first, e.RunResumed):
            return Recovered(clean=first.clean)
        case "recovery" if isinstance(first, e.VerificationRequested):
            return Recovered(clean=False)
        case "locks":
            return LocksGranted()
        case "cancel" | "kill" | "resolve" | "release":
            return _wish(first)
        case "reply":
            return _reply(first, notes, instant_of(entry.at))
        case "readback" if state is not None:
            return _answer(plan, state, entry, first, notes)
    raise NoMessage(f"its cause is {entry.cause!r}, and its first event {type(first).__name__}")


def _tick(state: State | None, entry: Entry) -> Tick:
    """Waits that were over and that it did not give up had been met."""
    overdue = overdue_waits(state, instant_of(entry.at)) if state is not None else {}
    ended = {event.path for event in entry.events if isinstance(event, e.StepFailed | e.StepSkipped)}
    return Tick(met=tuple(path for path in overdue if path not in ended))


def _start(entry: Entry, event: e.SagaStarted) -> Start:
    return Start(
        namespace=entry.namespace,
        saga=entry.saga,
        saga_id=entry.saga_id,
        idempotency_key=event.idempotency_key,
        business_key=event.business_key,
        generation=event.generation,
        origin=event.origin,
        trigger=event.trigger,
        request_digest=event.request_digest,
        shard=event.shard,
        traceparent=event.traceparent,
        rerun=_rerun(entry),
    )


def _rerun(entry: Entry) -> RerunOf | None:
    again = next((event for event in entry.events if isinstance(event, e.RerunStarted)), None)
    return None if again is None else RerunOf(former=again.former, reason=again.reason)


def _wish(event: Event) -> Message:
    match event:
        case e.DrainStarted(reason=reason) if reason is not None:
            return CancelWished(reason=reason)
        case e.SagaKilled(reason=reason):
            return KillWished(reason=reason)
        case e.LockReleased(key=key, reason=reason):
            return ReleaseWished(key=key, reason=reason)
        case e.SavepointChosen():
            return SavepointWished(step=event.step, reason=event.reason)
        case e.ParkingResolved():
            return ResolutionWished(
                step=event.step, resolution=event.resolution, reason=event.reason, evidence=event.evidence
            )
    raise NoMessage(f"no wish leads to {type(event).__name__}")


def _answered(entry: Entry, event: e.AnswerReceived) -> Delivered:
    said: dict[str, DoneOrNot] = {
        "succeeded": Done(result=None),
        "refused": Failed(kind="refused", message="", retriable=False),
        "unavailable": Failed(kind="unavailable", message="", retriable=True),
        "unknown": Unknown(kind="in_doubt", message=""),
    }
    answer = said[event.answer]
    if len(entry.events) > 1 and not isinstance(entry.events[1], e.DrainStarted):
        found = _reply(entry.events[1], ()).answer
        assert not isinstance(found, Pends), "an answer is no promise of one"
        answer = found
    return Delivered(
        path=event.path,
        direction=event.direction,
        message_id=event.message_id,
        correlation=event.correlation,
        message_type=event.message_type,
        body=event.body,
        answer=Said(verdict=event.answer, answer=answer),
    )


def _late_answer(state: State, event: e.VerificationRequested | e.OutcomeAmended, notes: tuple[Note, ...]) -> ReadBack:
    """The number that was asked stands in the state before it."""
    number = next(
        each.number
        for each in state.verifications or ()
        if (each.path, each.direction) == (event.path, event.direction)
    )
    answer: Yes | No | NoAnswer = No()
    if isinstance(event, e.OutcomeAmended) and event.held:
        answer = Yes()
    elif isinstance(event, e.OutcomeAmended) and event.message is not None:
        answer = NoAnswer(message=event.message)
    return ReadBack(path=event.path, direction=event.direction, role="verify", asked=number, answer=answer, notes=notes)


def _reply(event: Event, notes: tuple[Note, ...], at: Instant = 0) -> Replied:
    answer: Answer
    match event:
        case e.StepPending():
            within_ms = (instant_of(event.timeout_at) - at) // MILLISECOND
            answer = Pends(correlation=event.correlation, within_ms=within_ms, external_id=event.external_id)
        case e.StepSucceeded():
            answer = Done(result=event.result, external_id=event.external_id)
        case e.UndoSucceeded():
            answer = Done(result=None, external_id=event.external_id)
        case e.StepFailed() | e.UndoFailed():
            answer = Failed(kind=event.kind, message=event.message, retriable=event.retriable)
        case e.StepInDoubt():
            answer = Unknown(kind=event.reason, message=event.message, running=event.attempt_running)
        case e.StepSettled():
            answer = Ended(kind=event.kind or "", message=event.message or "")
        case e.LateReplyRecorded(answer="succeeded"):
            answer = Done(result=event.result)
        case _:
            raise NoMessage(f"no reply leads to {type(event).__name__}")
    undo = isinstance(event, e.UndoSucceeded | e.UndoFailed) or getattr(event, "direction", None) == "undo"
    return Replied(
        path=event.path, direction="undo" if undo else "forward", attempt=event.attempt, answer=answer, notes=notes
    )


def _answer(plan: Plan, state: State, entry: Entry, event: Event, notes: tuple[Note, ...]) -> ReadBack:
    answer: Yes | No | NoAnswer = No()
    if isinstance(event, e.VerificationRequested | e.OutcomeAmended):
        return _late_answer(state, event, notes)
    match event:
        case e.StepVerified() | e.UndoVerified():
            answer = Yes()
        case e.StepSettled(state="present"):
            answer = Yes(result=event.result, external_id=event.external_id)
        case e.StepInDoubt() if not event.message.startswith("the read-back says no"):
            answer = NoAnswer(message=event.message.rpartition(", for ")[0])
    path = getattr(event, "path", None)
    asked = [
        command
        for command in commands(plan, state, instant_of(entry.at))
        if command.role in {"verify", "lookup"} and path in {None, command.path}
    ]
    if len(asked) != 1:
        raise NoMessage(f"{len(asked)} questions were open")
    (command,) = asked
    return ReadBack(
        path=command.path,
        direction=command.direction,
        role=command.role,
        asked=command.number,
        answer=answer,
        notes=notes,
    )
