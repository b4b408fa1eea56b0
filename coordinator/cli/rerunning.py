"""A person wishes a request carried out anew: checked against the store, left in the inbox, followed if asked for."""

import time
from typing import NamedTuple
from uuid import uuid4

from amends.coordinator.cli.call import Call
from amends.coordinator.cli.endings import outcome_lines
from amends.coordinator.cli.following import EXIT_CODES, follow_run, wait_for, waiting_s
from amends.coordinator.cli.output import write
from amends.coordinator.cli.wishing import check, login, show_wish
from amends.coordinator.errors import Conflict
from amends.coordinator.ports.rows import InboxRow, RunRow
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.naming import find_run
from amends.coordinator.reading.standing import next_generation_of
from amends.schemas import wishes
from amends.schemas.ids import SagaId
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
    wish = wishes.Rerun(actor=actor or login(), saga_id=row.saga_id, reason=reason)
    check(store, row, wish)
    message_id = str(uuid4())
    store.put_inbox([InboxRow(shard=row.shard, message_id=message_id, body=wishes.write(wish))])
    return _Left(row, next_generation_of(row), message_id)


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
