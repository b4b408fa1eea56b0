"""Fold: state from events, one at a time. Pure, total, and never refuses: what is in the log did happen."""

from collections.abc import Callable, Iterable
from typing import Any, assert_never

from msgspec import UNSET
from msgspec.structs import replace

from amends.coordinator.core.effects import EFFECT_FOLDS
from amends.coordinator.core.moment import Moment, with_effect
from amends.coordinator.core.state import Doubt, Effect, Locks, Parked, State
from amends.schemas import events as e
from amends.schemas.entry import Entry
from amends.schemas.events import Event
from amends.schemas.ids import Direction
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
        state = _renewed(state, moment)
    return replace(
        state,
        forward={path: _not_put_off(effect) for path, effect in state.forward.items()},
        status="compensating",
        parked=None,
        draining=True,
        cause=event.cause,
        failure=event.failure,
        reason=event.reason,
    )


def _not_put_off(effect: Effect) -> Effect:
    """A request in doubt that was to be sent again is settled afresh: a run that turned back has other ways."""
    if effect.phase != "retrying" or effect.doubt is None:
        return effect
    return replace(effect, phase="ended" if effect.doubt.ended else "in_doubt", asks=effect.asks + 1, due_at=None)


def _compensation(state: State, event: e.CompensationStarted, _: Moment) -> State:
    return replace(state, draining=False, undo_list=event.undo_list)


def _ended(status: str) -> Callable[[State, Any, Moment], State]:
    def ended(state: State, event: Any, moment: Moment) -> State:  # noqa: ANN401
        return replace(
            state,
            status=status,
            ended_at=moment.at,
            parked=None,
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


def _resolved(state: State, event: e.ParkingResolved, moment: Moment) -> State:
    parked_us = moment.at - state.parked.since if state.parked else 0
    turning_back = state.draining or state.undo_list is not None
    state = replace(
        _without_parked_time(state, parked_us),
        status="compensating" if turning_back else "running",
        parked=None,
        limit_reached=False,
        extensions=state.extensions + state.limit_reached,
        unclean_stops=0,
        alone=0,
    )
    match event.resolution:
        case "go_forward":
            return _sent_forward(state, moment)
        case "skip":
            return _left_in_the_world(state, event.step, moment)
        case "retry":
            return _tried_anew(state, event.step, "undo" if state.undo_list is not None else "forward", moment)
        case "done_by_hand":
            return state
    assert_never(event.resolution)


def _without_parked_time(state: State, parked_us: int) -> State:
    """Nothing that is bounded in time ran while the run was parked (rule 15)."""

    def shifted(effect: Effect) -> Effect:
        return replace(
            effect,
            due_at=effect.due_at + parked_us if effect.due_at and _time_runs(effect) else effect.due_at,
            verify_since=effect.verify_since and effect.verify_since + parked_us,
            doubt=effect.doubt and replace(effect.doubt, since=effect.doubt.since + parked_us),
        )

    return replace(
        state,
        running_since=state.running_since + parked_us,
        deadline_at=state.deadline_at + parked_us,
        forward={path: shifted(effect) for path, effect in state.forward.items()},
        undo={path: shifted(effect) for path, effect in state.undo.items()},
    )


def _time_runs(effect: Effect) -> bool:
    """Whether a timeout or a pause is under way; an instant is where it is."""
    return effect.phase == "waiting" and effect.awaited is not UNSET and effect.awaited.awaits != "instant"


def _sent_forward(state: State, moment: Moment) -> State:
    """With its whole time before it, and every step with all its attempts."""
    return replace(
        _renewed(state, moment),
        status="running",
        cause=None,
        reason=None,
        failure=None,
        draining=False,
        undo_list=None,
        undone=(),
        running_since=moment.at,
        deadline_at=state.deadline_at + moment.at - state.running_since,
    )


def _renewed(state: State, moment: Moment) -> State:
    """Doubts of the way forward are settled from here, as if they had just arisen."""

    def renewed(effect: Effect) -> Effect:
        doubt = effect.doubt and replace(effect.doubt, since=moment.at, asked_at=moment.at)
        phase = "in_doubt" if effect.phase == "tombstone" else effect.phase
        verify_since = moment.at if effect.phase == "verifying" else effect.verify_since
        due_at = effect.due_at if effect.phase == "retrying" else None
        return replace(
            effect, phase=phase, counted=0, asks=effect.asks + 1, verify_since=verify_since, doubt=doubt, due_at=due_at
        )

    forward = {
        path: renewed(effect) if effect.doubt is not None or effect.phase == "verifying" else effect
        for path, effect in state.forward.items()
    }
    return replace(state, forward=forward)


def _left_in_the_world(state: State, path: str, moment: Moment) -> State:
    before = state.effect(path, "forward")
    if state.undo_list is None and (before.attempt_open or before.doubt is not None):
        doubt = before.doubt or Doubt(
            since=moment.at,
            attempt=before.attempt,
            quiet_from=moment.at,
            reason="in_doubt",
            message="left by a person",
            running=False,
            loose=True,
            asked_at=moment.at,
        )
        if doubt.running:
            doubt = replace(doubt, running=False, loose=True)
        state = with_effect(state, path, "forward", replace(before, phase="ended", doubt=doubt, due_at=None))
    return with_effect(state, path, "undo", replace(state.effect(path, "undo"), phase="skipped", due_at=None))


def _tried_anew(state: State, path: str, direction: Direction, moment: Moment) -> State:
    before = state.effect(path, direction)
    doubt = before.doubt and replace(before.doubt, since=moment.at, asked_at=moment.at)
    return with_effect(state, path, direction, replace(before, counted=0, asks=before.asks + 1, doubt=doubt))


def _resumed(state: State, event: e.RunResumed, _: Moment) -> State:
    if event.why == "pivot_passed":
        return replace(state, status="running", cause=None, reason=None, failure=None, draining=False)
    return replace(
        state,
        unclean_stops=state.unclean_stops + (not event.clean),
        alone=state.alone + event.alone,
    )


def _late(state: State, event: e.LateReplyRecorded, _: Moment) -> State:
    before = state.effect(event.path, event.direction)
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
    e.ParkingResolved: _resolved,
    e.RunResumed: _resumed,
    e.LateReplyRecorded: _late,
    e.LimitReached: _limit,
    e.EvidenceRecorded: _evidence,
    e.PermissionDenied: _unchanged,
    e.CheckpointRecorded: _unchanged,
}
