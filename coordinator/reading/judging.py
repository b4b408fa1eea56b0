"""Whether a run takes a person's wish as it stands now: the one judge of the commands, and of what is said about them.

The owner decides again when it carries the wish out; it asks the same rules of the core.
"""

from difflib import get_close_matches
from typing import assert_never

from amends.coordinator.core.people import may_cancel, resolutions
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.savepoints import savepoints, why_no_savepoint, why_not_back_to
from amends.coordinator.core.state import State
from amends.coordinator.errors import AmendsError, Conflict, NotFound
from amends.coordinator.ports.rows import CLOSED, RunRow
from amends.coordinator.reading.facts import ended_status
from amends.coordinator.reading.standing import Standing
from amends.schemas import wishes

Judged = wishes.Cancel | wishes.Kill | wishes.Rerun | wishes.Resolve | wishes.UndoTo | wishes.Release


def refusal(standing: Standing, wish: Judged) -> AmendsError | None:
    """None, or what the command says that wishes it. A `Release` may be of a lock in whose row the run only waits."""
    match wish:
        case wishes.Release():
            return _release(standing, wish.key)
        case wishes.Rerun():
            return _rerun(standing)
        case wishes.Cancel() | wishes.Kill() | wishes.Resolve() | wishes.UndoTo():
            return _of_an_open_run(standing, wish)
        case _:
            assert_never(wish)


def wrong(row: RunRow, why: str, do: str) -> Conflict:
    """The run is not in the state for it."""
    return Conflict("AM5013", f"run {row.saga_id}: {why}", do=do)


def quarantined(row: RunRow, more: str = "") -> Conflict:
    """Nothing is appended to the run, so nothing can be wished of it (rule 19)."""
    return wrong(
        row, f"it is quarantined: nothing is appended to it{more}", f"see why: amends audit verify {row.saga_id}"
    )


def _of_an_open_run(
    standing: Standing, wish: wishes.Cancel | wishes.Kill | wishes.Resolve | wishes.UndoTo
) -> AmendsError | None:
    row, state, plan = standing.row, standing.state, standing.plan
    if row.quarantined:
        return quarantined(row)
    if row.status in CLOSED or (state is not None and state.closed):
        return wrong(
            row, f"it is {row.status if state is None else state.status} already", "a run that has ended stays as it is"
        )
    if state is None:
        return standing.fault or wrong(row, "its entries are not in the store", "see: amends audit verify --all")
    if plan is None:
        return wrong(row, "its definition is not in the store", "restore the store from a backup that has it")
    match wish:
        case wishes.Cancel():
            why = may_cancel(plan, state)
            return None if why is None else wrong(row, why, "let it end, or kill it")
        case wishes.Kill():
            return None
        case wishes.Resolve():
            return _resolve(standing, wish)
        case wishes.UndoTo(step=step):
            return _undo_to(row, state, plan, step)


def _resolve(standing: Standing, wish: wishes.Resolve) -> Conflict | None:
    row, state, plan = standing.row, standing.state, standing.plan
    assert state is not None, "it has been folded"
    assert plan is not None, "its definition is there"
    if state.parked is None:
        return wrong(row, f"it is {state.status}, not parked", "only a parked run is resolved")
    if wish.step != state.parked.step:
        return wrong(row, f"it is parked at {state.parked.step!r}, not at {wish.step!r}", "name that step with --step")
    possible = resolutions(plan, state)
    if wish.resolution in possible:
        return None
    flags = ", ".join(f"--{each.replace('_', '-')}" for each in possible)
    return wrong(row, f"--{wish.resolution.replace('_', '-')} is not possible now", f"possible: {flags}")


def _undo_to(row: RunRow, state: State, plan: Plan, step: str) -> AmendsError | None:
    if state.parked is None:
        return wrong(row, f"it is {state.status}, not parked", "only a parked run is undone to a step")
    plan = plan.of(state)
    possible = savepoints(plan, state)
    offered = f"possible: {', '.join(possible)}" if possible else f"see what is: amends parked show {row.saga_id}"
    if step not in plan.paths:
        near = get_close_matches(step, plan.paths, n=1)
        return NotFound(
            "AM0356", f"run {row.saga_id} has no step {step!r}", do=f"did you mean {near[0]!r}?" if near else offered
        )
    why = why_no_savepoint(plan, state) or why_not_back_to(plan, state, step)
    if why is None:
        return None
    return Conflict("AM0355", f"run {row.saga_id} cannot be undone to {step!r}: {why}", do=offered)


def _rerun(standing: Standing) -> Conflict | None:
    """Only what has ended is run again, only once, and only while its trigger is still there."""
    row, later = standing.row, standing.later
    if row.quarantined:
        return wrong(row, "it is quarantined, so it has not ended", f"see why: amends audit verify {row.saga_id}")
    if (ended := ended_status(row)) is not None:
        why = f"it is {ended}, but still to be read back, and a request has one open run at a time"
        return wrong(row, why, f"wait until that is over: amends runs show {row.saga_id}")
    if row.status not in CLOSED:
        parked = f"decide about it first: amends parked show {row.saga_id}"
        do = parked if row.status == "parked" else f"wait for its end: amends runs watch {row.saga_id}"
        return wrong(row, f"it is {row.status}, and a request has one open run at a time", do)
    if later is not None:
        return Conflict(
            "AM0350",
            f"run {row.saga_id} was run again already: generation {later.generation} is {later.saga_id}",
            do=f"rerun the newest: {row.saga}/{row.idempotency_key}",
        )
    if not standing.trigger_kept:
        return Conflict(
            "AM0351",
            f"the trigger of run {row.saga_id} is not in the store any more (erased, or moved to an archive)",
            do="publish the request again under a new idempotency key",
        )
    return None


def _release(standing: Standing, key: str) -> AmendsError | None:
    """A run that goes on relies on its locks, and gives them back with its end."""
    lock = next((each for each in standing.locks if each.key == key and each.held_since is not None), None)
    held_by = {**standing.others, standing.row.saga_id: standing.row}.get(lock.saga_id) if lock is not None else None
    if held_by is None:
        return NotFound("AM0353", f"nobody holds a lock {key!r}", do="`amends locks list` shows what is held")
    if held_by.quarantined:
        return Conflict(
            "AM0354",
            f"{key} is held by run {held_by.saga_id}, which is quarantined: it would not learn that it lost its lock, "
            "and go on with it as soon as it can be read",
            do=f"see why it cannot be: amends audit verify {held_by.saga_id}",
        )
    if held_by.status != "parked":
        status = held_by.status
        return Conflict(
            "AM0354",
            f"{key} is held by run {held_by.saga_id}, which is {status}, not parked",
            do=f"wait for its end: amends runs show {held_by.saga_id}",
        )
    return None
