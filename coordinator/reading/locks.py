"""Facts about locks: who holds which, who waits for it, since when."""

from collections.abc import Sequence
from typing import Any

from amends.coordinator.ports.rows import LockRow
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.facts import QUARANTINED
from amends.schemas.instants import text_of

Facts = dict[str, Any]


def lock_facts(store: LogReading, locks: Sequence[LockRow]) -> list[Facts]:
    """One line of `locks list` for each run in each row, in the order of their turns."""
    runs = store.runs_by_id(sorted({lock.saga_id for lock in locks}))
    found = []
    for lock in locks:
        run = runs.get(lock.saga_id)
        found.append({
            "key": lock.key,
            "saga_id": lock.saga_id,
            "saga": run.saga if run else "",
            "business_key": run.business_key if run else "",
            "status": "" if run is None else QUARANTINED if run.quarantined else run.status,
            "since": text_of(lock.since),
            "held_since": None if lock.held_since is None else text_of(lock.held_since),
        })  # fmt: skip
    return found
