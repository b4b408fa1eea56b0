"""Facts about runs, under the stable keys of the contract (section 2)."""

from typing import Any

import msgspec

from amends.coordinator.core.people import resolutions
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.core.proof import proof_of
from amends.coordinator.core.savepoints import savepoints
from amends.coordinator.core.state import IDLE, Effect, State
from amends.coordinator.definition.form import StepForm, read_stored
from amends.coordinator.ports.rows import RunRow, Status
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.exposure import exposure_of
from amends.coordinator.reading.history import Payloads
from amends.coordinator.reading.parking import failure_of, parked_way
from amends.coordinator.reading.proofs import expectations_told, verifications_told
from amends.schemas.entry import Entry
from amends.schemas.events import Proof, RerunStarted
from amends.schemas.instants import Instant, text_of

Facts = dict[str, Any]

_SETTLED_EXPOSURE = frozenset({"parked", "killed", "compensated"})
NO_COST = "0"
ANSWER_AWAITED = "answer_awaited"
QUARANTINED = "quarantined"
"""Stands for the status of a run whose fold or decision raised: nothing is appended to it (rule 19)."""


def run_facts(row: RunRow, proof: Proof | None = None) -> Facts:
    """One line of `runs list`."""
    return {
        "saga_id": row.saga_id,
        "saga": row.saga,
        "definition_version": row.definition_version,
        "idempotency_key": row.idempotency_key,
        "business_key": row.business_key,
        "generation": row.generation,
        "status": QUARANTINED if row.quarantined else ended_status(row) or row.status,
        "cause": row.cause,
        "started_at": text_of(row.started_at),
        "updated_at": text_of(row.updated_at),
        "ended_at": None if row.ended_at is None else text_of(row.ended_at),
        "version": row.version,
        "proof": proof,
    }


def ended_status(row: RunRow) -> Status | None:
    """How a run has ended that stands among the waiting ones, because it is still to be read back."""
    if row.status != "waiting" or row.ended_at is None:
        return None
    return "completed" if row.cause is None else "compensated"


def quarantined(store: LogReading, *, saga: str | None, key: str | None, since: Instant | None) -> list[RunRow]:
    """Runs that are set aside, newest first."""
    found = [
        row
        for row in store.runs_open()
        if row.quarantined
        and saga in {None, row.saga}
        and key in {None, row.idempotency_key, row.business_key}
        and (since is None or row.started_at >= since)
    ]
    return sorted(found, key=lambda row: (row.started_at, row.saga_id), reverse=True)


def whole_facts(row: RunRow, state: State, plan: Plan | None, payloads: Payloads) -> Facts:
    """What `runs show` gives: the row, and what the fold says."""
    result = payloads(state.result) if state.result is not None else None
    return {
        **run_facts(row, proof_of(state)),
        "trigger": _trigger(row),
        "steps": [_step(state, step) for step in plan.of(state).form.steps] if plan else _steps_seen(state),
        "waiting_for": row.waiting_for,
        "parked": state.parked,
        "exposure": exposure_of(state) if state.status in _SETTLED_EXPOSURE else (),
        "result": None if result is None else msgspec.Raw(result),
        "failure": failure_of(state),
        "cost_usd": NO_COST,
        "expectations": expectations_told(state),
        "verifications": verifications_told(state),
    }


def rerun_facts(first: Entry) -> Facts:
    """What a run's first entry says of the person who had its request carried out anew; null of any other run."""
    for event in first.events:
        if isinstance(event, RerunStarted):
            return {"rerun": {"former": event.former, "actor": first.actor, "reason": event.reason}}
    return {"rerun": None}


def parked_facts(row: RunRow, state: State, plan: Plan) -> Facts:
    """One line of `parked list`."""
    parked = state.parked
    assert parked is not None, "only a parked run has these"
    undone = [undone.step for undone in state.undone]
    return {
        "saga_id": row.saga_id,
        "saga": row.saga,
        "business_key": row.business_key,
        "since": text_of(parked.since),
        "phase": parked_way(state),
        "step": parked.step,
        "why": parked.why,
        "undone": undone,
        "remaining": _remaining(state),
        "in_doubt": [path for path, effect in _effects(state) if effect.doubt is not None],
        "commands": list(resolutions(plan, state)),
        "savepoints": list(savepoints(plan, state)),
    }


def plan_in(store: LogReading, digest: str) -> Plan | None:
    """The definition a run was started with, as the store keeps it."""
    row = store.definition(digest)
    return None if row is None else plan_of(read_stored(row.body).form)


def _trigger(row: RunRow) -> Facts:
    first = row.origins[0] if row.origins else None
    return {
        "topic": first.topic if first else None,
        "partition": first.partition if first else None,
        "offset": first.offset if first else None,
        "duplicates": row.duplicates,
        "origins": row.origins,
    }


def _step(state: State, step: StepForm) -> Facts:
    undo = _undo(state.effect(step.path, "undo")) if step.undo is not None else None
    return _facts_of(step.path, step.kind, state.effect(step.path, "forward"), undo)


def _steps_seen(state: State) -> list[Facts]:
    """Without a definition: what was requested."""
    return [
        _facts_of(path, None, effect, _undo(state.undo.get(path, IDLE)) if path in state.undo else None)
        for path, effect in state.forward.items()
    ]


def _facts_of(path: str, kind: str | None, effect: Effect, undo: Facts | None) -> Facts:
    return {
        "path": path,
        "kind": kind,
        "status": _status(effect),
        "attempts": effect.attempt,
        "failure": effect.failure,
        "undo": undo,
    }


def _undo(effect: Effect) -> Facts:
    return {"status": _status(effect), "attempts": effect.attempt, "verified_by": effect.verified_by}


def _status(effect: Effect) -> str:
    """`pending` has always been one that was not requested yet; what is pending with a participant has another name."""
    return {"idle": "pending", "pending": ANSWER_AWAITED}.get(effect.phase, effect.phase)


def _remaining(state: State) -> list[str]:
    """What is still to be undone, in order; on the way forward, what stands."""
    undone = {undone.step for undone in state.undone}
    if state.undo_list is not None:
        left = (path for path in state.undo_list if path not in undone)
        return [path for path in left if state.effect(path, "undo").phase != "skipped"]
    return [each.step for each in exposure_of(state)]


def _effects(state: State) -> list[tuple[str, Effect]]:
    return sorted({**state.forward, **{p: e for p, e in state.undo.items() if e.doubt is not None}}.items())
