"""Fold: state from events, one at a time. Pure, total, and never refuses: what is in the log did happen."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from amends.coordinator.core.effects import EFFECT_FOLDS, doubt_after
from amends.coordinator.core.moment import Moment, with_effect
from amends.coordinator.core.resolving import not_put_off, renewed, resolved, savepoint_chosen, savepoint_reached
from amends.coordinator.core.state import Locks, Parked, State
from amends.schemas import events as e
from amends.schemas.entry import Entry
from amends.schemas.events import Event
from amends.schemas.instants import Instant, instant_of


def fold(entries: Iterable[Entry], state: State | None = None) -> State:
    """Fold whole entries, onto `state` if given. Raises `ValueError` if there is neither."""
    for entry in entries:
        state = fold_entry(state, entry)
    if state is None:
        raise ValueError("a run has at least one entry")
    return state


def fold_entry(state: State | None, entry: Entry) -> State:
    """Fold one entry; the first one makes the state. Raises `ValueError` for one that is not the next."""
    if state is None:
        state = blank(entry)
    if entry.version != state.version + 1:
        raise ValueError(f"version {entry.version} comes after version {state.version}")  # Nothing holds of the rest.
    at = instant_of(entry.at)
    for index, event in enumerate(entry.events):
        state = evolve(state, event, Moment(at, entry.version, index))
    return sealed(state, version=entry.version, at=at, entry_hash=entry.hash)


def blank(entry: Entry) -> State:
    """The state before a run's first event."""
    return State(
        namespace=entry.namespace,
        saga_id=entry.saga_id,
        saga=entry.saga,
        definition_version=entry.definition_version,
        definition_hash=entry.definition_hash,
    )


def sealed(state: State, *, version: int, at: Instant, entry_hash: str) -> State:
    """The state after a whole entry."""
    return replace(state, version=version, at=at, hash=entry_hash)


def evolve(state: State, event: Event, moment: Moment) -> State:
    """The state after `event`."""
    return _FOLDS[type(event)](state, event, moment)


def _started(state: State, event: e.SagaStarted, moment: Moment) -> State:
    return replace(
        state,
        idempotency_key=event.idempotency_key,
        business_key=event.business_key,
        generation=event.generation,
        origin=event.origin,
        trigger=event.trigger,
        request_digest=event.request_digest,
        shard=event.shard,
        traceparent=event.traceparent,
        started_at=moment.at,
        running_since=moment.at,
        deadline_at=instant_of(event.deadline_at),
    )


def _queued(state: State, event: e.LocksRequested, _: Moment) -> State:
    return replace(state, status="queued", locks=Locks(keys=event.keys))


def _locked(state: State, event: e.LocksTaken, _: Moment) -> State:
    return replace(state, status="running", locks=Locks(keys=event.keys, held=True))


def _unlocked(state: State, event: e.LockReleased, _: Moment) -> State:
    if state.locks is UNSET:
        return state
    return replace(state, locks=replace(state.locks, keys=tuple(key for key in state.locks.keys if key != event.key)))


def _drain(state: State, event: e.DrainStarted, moment: Moment) -> State:
    if state.parked is not None:
        state = renewed(state, moment)
    return replace(
        state,
        forward={path: not_put_off(effect) for path, effect in state.forward.items()},
        status="compensating",
        parked=None,
        savepoint=UNSET,
        draining=True,
        cause=event.cause,
        failure=event.failure,
        reason=event.reason,
    )


def _compensation(state: State, event: e.CompensationStarted, _: Moment) -> State:
    return replace(state, draining=False, undo_list=event.undo_list)


def _ended(status: str) -> Callable[[State, Any, Moment], State]:
    def ended(state: State, event: Any, moment: Moment) -> State:  # noqa: ANN401
        return replace(
            state,
            status=status,
            ended_at=moment.at,
            parked=None,
            savepoint=UNSET,
            draining=False,
            result=event.result if isinstance(event, e.SagaCompleted) else None,
            reason=event.reason if isinstance(event, e.SagaKilled) else state.reason,
            outcome_version=moment.version,
            superseded_version=state.outcome_version,
        )

    return ended


def _parked(state: State, event: e.SagaParked, moment: Moment) -> State:
    parked = Parked(phase=event.phase, step=event.step, kind=event.kind, why=event.why, since=moment.at)
    return replace(
        state,
        status="parked",
        parked=parked,
        outcome_version=moment.version,
        superseded_version=state.outcome_version,
    )


def _resumed(state: State, event: e.RunResumed, _: Moment) -> State:
    if event.why == "pivot_passed":
        return replace(state, status="running", cause=None, reason=None, failure=None, draining=False, savepoint=UNSET)
    return replace(
        state,
        unclean_stops=state.unclean_stops + (not event.clean),
        alone=state.alone + event.alone,
    )


def _late(state: State, event: e.LateReplyRecorded, moment: Moment) -> State:
    if not state.closed and event.direction == "forward" and event.path in (state.undo_list or ()):
        return state  # Its undo, which was asked for without knowing this, covers it.
    if not state.closed and event.direction == "undo" and event.answer != "succeeded":
        return state  # A person has given it up already.
    before = state.effect(event.path, event.direction)
    if event.answer == "unknown" and not state.closed:  # The run may go forward again, and then this is to be settled.
        doubt = doubt_after(before, event, moment, reason="in_doubt", running=False, loose=True)
        return with_effect(
            state, event.path, event.direction, replace(before, phase="in_doubt", doubt=doubt, due_at=None)
        )
    phase = {"succeeded": "done", "failed": "failed", "unknown": "ended"}[event.answer]
    effect = replace(before, phase=phase, result=event.result or before.result, doubt=None, due_at=None)
    return with_effect(state, event.path, event.direction, effect)


def _limit(state: State, _event: e.LimitReached, _: Moment) -> State:
    return replace(state, limit_reached=True)


def _evidence(state: State, _event: e.EvidenceRecorded, moment: Moment) -> State:
    return replace(state, evidence=(*state.evidence, f"{moment.version}.{moment.place}"))


def _unchanged(state: State, _event: Event, _: Moment) -> State:
    return state


_FOLDS: dict[type[Event], Callable[[State, Any, Moment], State]] = {
    **EFFECT_FOLDS,
    e.SagaStarted: _started,
    e.RerunStarted: _unchanged,
    e.LocksRequested: _queued,
    e.LocksTaken: _locked,
    e.LockReleased: _unlocked,
    e.MessageReceived: _unchanged,
    e.DrainStarted: _drain,
    e.CompensationStarted: _compensation,
    e.SagaCompleted: _ended("completed"),
    e.SagaCompensated: _ended("compensated"),
    e.SagaKilled: _ended("killed"),
    e.SagaParked: _parked,
    e.ParkingResolved: resolved,
    e.SavepointChosen: savepoint_chosen,
    e.SavepointReached: savepoint_reached,
    e.RunResumed: _resumed,
    e.LateReplyRecorded: _late,
    e.LimitReached: _limit,
    e.EvidenceRecorded: _evidence,
    e.PermissionDenied: _unchanged,
    e.CheckpointRecorded: _unchanged,
}
