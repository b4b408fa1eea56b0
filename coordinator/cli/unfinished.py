"""What a worker that is to end when it is idle has not finished: told now and then, and listed at its end."""

import asyncio
import logging
import sys
from contextlib import suppress
from typing import Final

from amends.coordinator.cli.output import cells, note, room, shortened
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.folding import fitting
from amends.coordinator.reading.times import shortly
from amends.schemas.instants import Instant, text_of

TOLD_EVERY_S: Final = 10.0
LISTED_MAX: Final = 20

log = logging.getLogger("amends.worker")


async def tell_of_unfinished(store: Store) -> None:
    """For ever: log what is under way. An effect in doubt may take minutes to settle, and nothing shows meanwhile."""
    while True:
        await asyncio.sleep(TOLD_EVERY_S)
        with suppress(StoreUnavailable):
            runs = [row for row in await asyncio.to_thread(store.runs_open) if _at_work(row)]
            if runs:
                _tell(runs)


def _tell(runs: list[RunRow]) -> None:
    oldest = min(runs, key=lambda row: row.started_at)
    due_at = None if oldest.next_due_at is None else text_of(oldest.next_due_at)
    oldest_run = {"saga_id": oldest.saga_id, "status": oldest.status, "next_due_at": due_at}
    log.info("runs_under_way", extra={"runs": len(runs), **oldest_run})


def _at_work(row: RunRow) -> bool:
    return row.status not in {"parked", "waiting"} and not row.quarantined


def list_open(store: Store) -> None:
    """Name the runs that wait for somebody or something."""
    runs, now, width = store.runs_open(), store.now(), room(sys.stderr)
    for row in runs[:LISTED_MAX]:
        for line in open_lines(row, now, width):
            note(line)
    if len(runs) > LISTED_MAX:
        more = f"… and {len(runs) - LISTED_MAX} more: amends runs list --status parked, --status waiting"
        for line in fitting(more, first="", rest="  ", width=width):
            note(line)


def open_lines(row: RunRow, now: Instant, width: int | None) -> list[str]:
    """One line; on a terminal that is too narrow for it what the run waits for stands below."""
    status = "quarantined" if row.quarantined else row.status
    who = f"{row.saga_id}  {row.saga} {row.business_key}"
    waits = f"for {shortly(row.waiting_for, now)}" if row.waiting_for and not row.quarantined else ""
    whole = f"{' '.join(filter(None, (status, waits)))}  {who}"
    if width is None or cells(whole) <= width:
        return [whole]
    if cells(status) + 2 + cells(who) > width:
        who = f"{shortened(row.saga_id)}  {row.saga} {row.business_key}"
    return [f"{status}  {who}", *(fitting(waits, first="  ", rest="  ", width=width) if waits else [])]
