"""What a worker that is to end when it is idle has not finished yet, told now and then."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.ports.store import Store
from amends.schemas.instants import text_of

TOLD_EVERY_S: Final = 10.0

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
