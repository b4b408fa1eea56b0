"""What the store keeps of a run beside its log: its row, what changes in it, and what it waits for."""

from amends.coordinator.core.commands import missing_handler
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import waited_for
from amends.coordinator.ports.rows import AwaitedRow, RunChange, RunRow
from amends.coordinator.runtime.runs import Run
from amends.schemas.instants import Instant


def waiting_for_of(plan: Plan, state: State, now: Instant) -> str | None:
    """What a run waits for if nothing goes on in it: a handler, or what comes from outside."""
    return missing_handler(plan, state, now) or (waited_for(plan, state) if plan.waits else None)


def row_of(run: Run, waiting_for: str | None) -> RunRow:
    """The row of a run that begins."""
    state = run.state
    return RunRow(
        saga_id=state.saga_id,
        shard=run.shard,
        namespace=state.namespace,
        saga=state.saga,
        definition_version=state.definition_version,
        definition_hash=state.definition_hash,
        idempotency_key=state.idempotency_key,
        business_key=state.business_key,
        generation=state.generation,
        request_digest=state.request_digest,
        status="waiting" if waiting_for is not None else state.status,
        waiting_for=waiting_for,
        cause=state.cause,
        version=state.version,
        started_at=state.started_at,
        updated_at=state.at,
        ended_at=state.ended_at,
        next_due_at=run.due,
        origins=(state.origin,) if state.origin is not None else (),
    )


def change_of(
    state: State, due: Instant | None, *, waiting_for: str | None = None, quarantined: bool = False
) -> RunChange:
    """What the row of a run says once its state is stored."""
    return RunChange(
        saga_id=state.saga_id,
        status="waiting" if waiting_for is not None else state.status,
        cause=state.cause,
        version=state.version,
        updated_at=state.at,
        ended_at=state.ended_at,
        next_due_at=due,
        waiting_for=waiting_for,
        quarantined=quarantined,
    )


def awaited_row(run: Run, path: str, key: str, message_type: str) -> AwaitedRow:
    """What the store keeps of a wait."""
    return AwaitedRow(saga_id=run.saga_id, path=path, shard=run.shard, correlation_key=key, type=message_type)
