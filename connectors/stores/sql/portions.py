"""Reading all entries of a shard's open runs, some thousand at a time: nothing stays open while the caller works."""

from collections.abc import Iterable, Iterator
from typing import Final

from amends.connectors.stores.sql.tables import OPEN

OPEN_RUNS: Final = f"SELECT saga_id, version FROM runs WHERE shard = ? AND {OPEN} ORDER BY saga_id"
ENTRIES_AT_ONCE: Final = 5_000


def portions(runs: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Cut runs, each with its version, into groups: a run's version is the number of its entries."""
    portion: list[str] = []
    entries = 0
    for saga_id, version in runs:
        portion.append(saga_id)
        entries += version
        if entries >= ENTRIES_AT_ONCE:
            yield portion
            portion, entries = [], 0
    if portion:
        yield portion
