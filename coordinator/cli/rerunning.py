"""A person wishes a request carried out anew: checked against the store, left in the inbox, followed if asked for."""

import time
from typing import NamedTuple
from uuid import uuid4

from amends.coordinator.cli.call import Call
from amends.coordinator.cli.endings import outcome_lines
from amends.coordinator.cli.following import EXIT_CODES, follow_run, wait_for, waiting_s
from amends.coordinator.cli.output import write
from amends.coordinator.cli.wishing import login, show_wish, wrong
from amends.coordinator.errors import Conflict
from amends.coordinator.ports.rows import CLOSED, ERASED, InboxRow, RunRow
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.history import payloads_of, run_history
from amends.coordinator.reading.naming import find_run
from amends.schemas import wishes
from amends.schemas.ids import SagaId, saga_id_of
from amends.schemas.outcome import Outcome


class _Left(NamedTuple):
    former: RunRow
    saga_id: SagaId
    """The run that is to begin."""
    message_id: str


def leave_rerun(call: Call, run: str, reason: str, actor: str | None, *, wait: bool, timeout: str) -> int:
    """Leave the wish; the exit code. Raises `NotFound`, `Conflict` where the run is not in the state for it."""
    timeout_s = waiting_s(timeout)
    with call.store(read_only=False) as store:
        left = _leave(store, run, reason, actor)
        if not wait:
            show_wish(call, left.saga_id, "rerun", "requested")
            return 0
        outcome = _followed(store, left, time.monotonic() + timeout_s)
    show_wish(call, left.saga_id, "rerun", "done")
    if call.text:
        write(outcome_lines([outcome]))
    return EXIT_CODES[outcome.status]


def _leave(store: Store, run: str, reason: str, actor: str | None) -> _Left:
    row = find_run(store, run)
    _check(store, row)
    wish = wishes.Rerun(actor=actor or login(), saga_id=row.saga_id, reason=reason)
    message_id = str(uuid4())
    store.put_inbox([InboxRow(shard=row.shard, message_id=message_id, body=wishes.write(wish))])
    return _Left(row, _next_id(row), message_id)


def _next_id(row: RunRow) -> SagaId:
    return saga_id_of(
        namespace=row.namespace,
        saga=row.saga,
        idempotency_key=row.idempotency_key,
        generation=row.generation + 1,
    )


def _check(store: Store, row: RunRow) -> None:
    """Only what has ended is run again, only once, and only while its trigger is still there."""
    if row.quarantined:
        raise wrong(row, "it is quarantined, so it has not ended", f"see why: amends audit verify {row.saga_id}")
    if row.status not in CLOSED:
        parked = f"decide about it first: amends parked show {row.saga_id}"
        do = parked if row.status == "parked" else f"wait for its end: amends runs watch {row.saga_id}"
        raise wrong(row, f"it is {row.status}, and a request has one open run at a time", do)
    later = store.run(_next_id(row))
    if later is not None:
        raise Conflict(
            "AM0350",
            f"run {row.saga_id} was run again already: generation {later.generation} is {later.saga_id}",
            do=f"rerun the newest: {row.saga}/{row.idempotency_key}",
        )
    moments = run_history(store, row.saga_id, until=1)
    if row.request_digest == ERASED or not moments or payloads_of(moments, store)(moments[0].state.trigger) is None:
        raise Conflict(
            "AM0351",
            f"the trigger of run {row.saga_id} is not in the store any more (erased, or moved to an archive)",
            do="publish the request again under a new idempotency key",
        )


def _followed(store: Store, left: _Left, until: float) -> Outcome:
    """Wait until the wish was taken, then until the new run has ended or parked."""
    what = f"nobody has taken the wish to rerun {left.former.saga_id} yet (does a worker with its saga run?)"
    wait_for(lambda: not _waits(store, left), until, what, f"look later: amends runs show {left.saga_id}")
    if store.run(left.saga_id) is None:  # The wish goes with the entry that begins the run, or for nothing.
        raise Conflict(
            "AM0352",
            f"the worker refused to rerun {left.former.saga_id}",
            do="its log says why, under rerun_refused: the trigger may not fit the newest version of the saga",
        )
    return follow_run(store, left.saga_id, until)


def _waits(store: Store, left: _Left) -> bool:
    return any(row.message_id == left.message_id for row in store.inbox(left.former.shard, limit=10_000))
