"""Where a run stands now: all that a person's wish is judged by, and that an explanation rests on. Read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import open_waits, waited_for
from amends.coordinator.errors import FoundFault
from amends.coordinator.ports.rows import ANSWER, ERASED, LockRow, RunRow
from amends.coordinator.ports.store import LogReading, Store
from amends.coordinator.reading.facts import plan_in
from amends.coordinator.reading.history import Moment, payloads_of, run_history
from amends.schemas.ids import SagaId, saga_id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A run, its fold, and what other rows of the store say that matters for it."""

    row: RunRow
    state: State | None
    """None of a run whose entries are in an archive, or cannot be folded."""
    plan: Plan | None
    """The run's own (`Plan.of`); None where the store does not have its definition."""
    fault: FoundFault | None = None
    """Why its entries cannot be folded."""
    later: RunRow | None = None
    """Of a run that has ended: the next generation of its request."""
    trigger_kept: bool = False
    """Of a run that has ended: whether its trigger can still be read."""
    locks: tuple[LockRow, ...] = ()
    """The rows of its lock keys, with everybody who stands in them, in the order of their turns."""
    others: Mapping[SagaId, RunRow]
    """The runs that stand there with it."""
    next_for: frozenset[str] = frozenset()
    """Steps that wait for a message, and longer than any other run that waits for the same."""
    unowned: bool = False
    """Whether no worker has the run's shard."""
    present: bool = True
    """False of a run as it was, or as a bundle holds it: nobody can wish anything of that."""


def standing_of(store: Store, row: RunRow, moments: list[Moment] | None = None) -> Standing:
    """Read it. `moments` is the run's whole history, for who has it already."""
    moments, fault = (moments, None) if moments is not None else _history(store, row)
    state = moments[-1].state if moments else None
    locks = tuple(store.locks(saga_id=row.saga_id))
    ended = row.ended_at is not None  # Its row may say that it waits: for what is read back after the end.
    return Standing(
        row=row,
        state=state,
        plan=_plan(store, row, state),
        fault=fault,
        later=store.run(next_generation_of(row)) if ended else None,
        trigger_kept=ended and _trigger_kept(store, row, moments),
        locks=locks,
        others=store.runs_by_id(sorted({lock.saga_id for lock in locks} - {row.saga_id})),
        next_for=frozenset() if state is None else _next_for(store, state),
        unowned=not ended and _unowned(store, row),
    )


def former_standing(log: LogReading, row: RunRow, moments: list[Moment]) -> Standing:
    """Of a run as it was after the last of `moments`, or in a bundle; `row` is as it was then, too."""
    state = moments[-1].state
    return Standing(
        row=row,
        state=state,
        plan=_plan(log, row, state),
        locks=tuple(log.locks(saga_id=row.saga_id)),
        others={},
        present=False,
    )


def row_then(row: RunRow, state: State, plan: Plan | None) -> RunRow:
    """The run's row as it was in this state. Which handlers were lacking then, nobody knows."""
    waiting_for = waited_for(plan, state) if plan is not None else None
    changed: dict[str, Any] = {
        "status": state.status if waiting_for is None else "waiting",
        "cause": state.cause,
        "version": state.version,
        "updated_at": state.at,
        "ended_at": state.ended_at,
        "waiting_for": waiting_for,
    }
    return replace(row, **changed)


def next_generation_of(row: RunRow) -> SagaId:
    """The run that a rerun of this one begins."""
    return saga_id_of(
        namespace=row.namespace,
        saga=row.saga,
        idempotency_key=row.idempotency_key,
        generation=row.generation + 1,
    )


def _plan(log: LogReading, row: RunRow, state: State | None) -> Plan | None:
    """The run's own, with what it repeats unfolded."""
    plan = plan_in(log, row.definition_hash)
    return plan if plan is None or state is None else plan.of(state)


def _history(store: Store, row: RunRow, *, until: int | None = None) -> tuple[list[Moment], FoundFault | None]:
    try:
        return run_history(store, row.saga_id, until=until), None
    except FoundFault as fault:
        return [], fault


def _trigger_kept(store: Store, row: RunRow, moments: list[Moment]) -> bool:
    """It stands in the first entry, which can be read also where a later one cannot."""
    first = moments[:1] or _history(store, row, until=1)[0]
    if row.request_digest == ERASED or not first:
        return False
    return payloads_of(first, store)(first[0].state.trigger) is not None


def _unowned(store: Store, row: RunRow) -> bool:
    """A lease that has run out counts for as long as nobody else has taken the shard."""
    shard = next((each for each in store.shards() if each.shard == row.shard), None)
    if shard is None or shard.owner is None:
        return True
    return shard.expires_at is not None and shard.expires_at < store.now()


def _next_for(store: Store, state: State) -> frozenset[str]:
    """A message goes to the longest wait for its key and type."""
    found = set()
    for path, awaited in open_waits(state).items():
        kind = ANSWER if awaited.awaits == "answer" else awaited.message_type
        row = next((each for each in store.awaited(key=awaited.correlation) if each.type == kind), None)
        if row is not None and (row.saga_id, row.path) == (state.saga_id, path):
            found.add(path)
    return frozenset(found)
