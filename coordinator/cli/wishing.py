"""A wish of a person: checked against the store, left in the inbox, and followed if asked for."""

import getpass
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from uuid import uuid4

from amends.coordinator.cli.call import Call
from amends.coordinator.cli.endings import outcome_lines
from amends.coordinator.cli.following import EXIT_CODES, wait_for, waiting_s
from amends.coordinator.cli.output import note, show, write
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.rows import InboxRow, RunRow
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.judging import Judged, quarantined, refusal
from amends.coordinator.reading.logs import latest_outcome
from amends.coordinator.reading.naming import find_run
from amends.coordinator.reading.standing import Standing, standing_of
from amends.schemas import wishes
from amends.schemas.ids import SagaId
from amends.schemas.outcome import Outcome

Request = Literal["cancel", "kill", "resolve", "rerun"]
_DONE: Final = {"cancel": "↩ cancelling", "kill": "■ killing", "resolve": "◇ resolving", "rerun": "▸ rerunning as"}


class Wished(NamedTuple):
    """What is asked for, and the wish it becomes."""

    request: Request
    wish: Callable[[RunRow, str], Judged]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    row: RunRow
    version: int
    message_id: str


def leave(call: Call, run: str, wished: Wished, actor: str | None, *, wait: bool, timeout: str) -> int:
    """Leave the wish; the exit code. Raises `NotFound`, `Conflict` where the run is not in the state for it."""
    timeout_s = waiting_s(timeout)
    with call.store(read_only=False) as store:
        left = _leave(store, run, wished, actor)
        if not wait:
            show_wish(call, left.row.saga_id, wished.request, "requested")
            return 0
        outcome = _followed(store, left, time.monotonic() + timeout_s)
    show_wish(call, left.row.saga_id, wished.request, "done")
    if call.text:
        write(outcome_lines([outcome]))
    return EXIT_CODES[outcome.status]


def _leave(store: Store, run: str, wished: Wished, actor: str | None) -> _Left:
    row = find_run(store, run)
    wish = wished.wish(row, actor or login())
    state = check(store, row, wish).state
    assert state is not None, "what the judge lets pass has been folded"
    message_id = str(uuid4())
    store.put_inbox([InboxRow(shard=row.shard, message_id=message_id, body=wishes.write(wish))])
    return _Left(row=row, version=state.version, message_id=message_id)


def check(store: Store, row: RunRow, wish: Judged) -> Standing:
    """Hold the wish against the run as it stands, which is given back. Raises what the judge says."""
    standing = standing_of(store, row)
    refused = refusal(standing, wish)
    if refused is not None:
        raise refused
    return standing


def _followed(store: Store, left: _Left, until: float) -> Outcome:
    """Wait until the wish was taken, then until the run has ended or parked anew."""
    saga_id = left.row.saga_id
    later = f"look later: amends runs show {saga_id}"
    what = f"nobody has taken the wish for run {saga_id} yet (does a worker run?)"
    wait_for(lambda: not _waits(store, left) or _is_quarantined(store, saga_id), until, what, later)
    if _waits(store, left):
        raise quarantined(left.row, "; the wish is kept for a worker that can read the run")
    outcome: Outcome = wait_for(
        lambda: _outcome_after(store, saga_id, left.version), until, f"run {saga_id} has not ended yet", later
    )
    return outcome


def _waits(store: Store, left: _Left) -> bool:
    return any(row.message_id == left.message_id for row in store.inbox(left.row.shard, limit=10_000))


def _outcome_after(store: Store, saga_id: SagaId, version: int) -> Outcome | None:
    row = store.run(saga_id)
    if row is None or not (row.ended_at is not None or row.status == "parked"):
        return None
    outcome = latest_outcome(store, saga_id)
    newer = outcome is not None and (outcome.log_version > version or row.version == version)
    return outcome if newer else None


def show_wish(call: Call, saga_id: SagaId, request: Request, state: str) -> None:
    """Say what is wished for which run, and whether it is done."""
    show(
        call,
        {"saga_id": saga_id, "request": request, "state": state},
        lambda: f"{_DONE[request]} {saga_id}: {state}",
    )
    if state == "requested" and call.text:
        note("the worker that owns the run carries it out")


def _is_quarantined(store: Store, saga_id: SagaId) -> bool:
    row = store.run(saga_id)
    return row is not None and row.quarantined


def login() -> str:
    """Who wishes it, unless `--as` says so. Raises `UsageError`."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise UsageError("AM5005", "there is no login name", do="say who decides with --as NAME") from None
