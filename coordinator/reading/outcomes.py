"""The outcome of a run, rendered from its fold: one for each entry that parked or ended it (contract, section 4)."""

from collections.abc import Callable
from typing import cast

import msgspec

from amends.coordinator.core.proof import proof_of
from amends.coordinator.core.state import State
from amends.coordinator.reading.exposure import exposure_of
from amends.coordinator.reading.parking import failure_of
from amends.schemas.events import Digest, Event, OutcomeAmended, SagaCompensated, SagaCompleted, SagaKilled, SagaParked
from amends.schemas.ids import outcome_id_of
from amends.schemas.instants import text_of
from amends.schemas.outcome import Outcome, OutcomeStatus, Undone

_OUTCOMES = (SagaCompleted, SagaCompensated, SagaParked, SagaKilled, OutcomeAmended)

Payloads = Callable[[Digest], bytes | None]
"""Gives a payload's JSON text; None where it is not to be had (sealed and erased, or external and elsewhere)."""


def has_outcome(events: tuple[Event, ...]) -> bool:
    """Whether an entry with these events parks or ends its run, or amends how it ended."""
    return any(isinstance(event, _OUTCOMES) for event in events)


def outcome_of(state: State, payloads: Payloads) -> Outcome:
    """The outcome of the state directly after an entry for which `has_outcome` holds."""
    assert state.outcome_version is not None, "only a run that parked or ended has an outcome"
    superseded = state.superseded_version
    return Outcome(
        outcome_id=outcome_id_of(saga_id=state.saga_id, version=state.outcome_version),
        supersedes=None if superseded is None else outcome_id_of(saga_id=state.saga_id, version=superseded),
        saga_id=state.saga_id,
        namespace=state.namespace,
        saga=state.saga,
        definition_version=state.definition_version,
        definition_hash=state.definition_hash,
        idempotency_key=state.idempotency_key,
        business_key=state.business_key,
        generation=state.generation,
        status=cast("OutcomeStatus", state.status),
        cause=state.cause,
        started_at=text_of(state.started_at),
        ended_at=text_of(state.at if state.ended_at is None else state.ended_at),
        result=msgspec.Raw(_result(state, payloads)),
        failure=failure_of(state),
        undone=tuple(Undone(step=undone.step, verified_by=undone.verified_by) for undone in state.undone),
        exposure=exposure_of(state),
        cost_usd="0",
        evidence=tuple(f"{state.saga_id}/{place}" for place in state.evidence),
        log_version=state.version,
        log_hash=state.hash,
        proof=proof_of(state),
    )


def _result(state: State, payloads: Payloads) -> bytes:
    value = payloads(state.result) if state.result is not None else None
    return b"null" if value is None else value
