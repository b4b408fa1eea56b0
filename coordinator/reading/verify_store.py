"""Verifying the log in the store: each run's chain, each shard's positions and head, the index against the log."""

import heapq
from collections.abc import Callable, Iterator
from itertools import takewhile

from amends.coordinator.ports.rows import ArchivedRow, RunRow, ShardRow, StoredEntry
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.history import stored
from amends.coordinator.reading.verify import Chain, Report
from amends.schemas.chain import EMPTY_HEAD, next_head
from amends.schemas.ids import SagaId

PAGE = 500


def verify_run(store: LogReading, row: RunRow) -> Report:
    """One run, from its first entry to the version its row knows."""
    report = Report(runs=1)
    chain = Chain(row.saga_id, report)
    for moved in store.archived_of(row.saga_id):
        chain.skip(moved.version, moved.hash)
    for entry in stored(store, row.saga_id):
        version = chain.version
        chain.take(entry.data)
        if chain.version != entry.version and chain.version > version:
            detail = f"it is stored as version {entry.version}"
            report.found("position", detail, saga_id=row.saga_id, version=chain.version)
    _end(report, row, chain.version)
    return report


def verify_all(
    store: LogReading,
    *,
    looked: Callable[[int], None] = lambda _: None,
    head_at: Callable[[int, int, str], None] = lambda _shard, _position, _head: None,
) -> Report:
    """Every shard and every run.

    `looked` is told how many more entries were looked at, `head_at` each shard's head up to each position.
    """
    report = Report()
    versions: dict[SagaId, int] = {}
    for shard in store.shards():
        versions |= _shard(store, shard, report, looked, head_at)
    report.runs = len(versions)
    seen: set[SagaId] = set()
    before = None
    while page := store.runs(limit=PAGE, before=before):
        for row in page:
            seen.add(row.saga_id)
            known = versions.get(row.saga_id, 0)
            if row.version > known:
                later = store.entries_of(row.saga_id, after=known)
                _end(report, row, later[-1].version if later else known)
        before = (page[-1].started_at, page[-1].saga_id)
    for saga_id in versions.keys() - seen:
        if store.run(saga_id) is None:
            report.found("gap", "the log has this run, the index of runs has not", saga_id=saga_id)
    return report


def _shard(
    store: LogReading,
    shard: ShardRow,
    report: Report,
    looked: Callable[[int], None],
    head_at: Callable[[int, int, str], None],
) -> dict[SagaId, int]:
    """Positions 1, 2, 3 … up to where the shard says it stands, and the head over them."""
    chains: dict[SagaId, Chain] = {}
    position, head, broken = 0, EMPTY_HEAD, False
    for entry in _in_order(store, shard):
        looked(1)
        if entry.position != position + 1:
            broken = True
            missing = f"{position + 1}" if entry.position == position + 2 else f"{position + 1} to {entry.position - 1}"
            detail = f"shard {shard.shard}: position {missing} is missing"
            report.found("position", detail, saga_id=entry.saga_id, version=entry.version)
        position = entry.position
        chain = chains.setdefault(entry.saga_id, Chain(entry.saga_id, report))
        if isinstance(entry, ArchivedRow):
            chain.skip(entry.version, entry.hash)
        else:
            chain.take(entry.data)
        head = next_head(head, chain.hash)
        head_at(shard.shard, position, head)
    if position < shard.position:
        report.found("position", f"shard {shard.shard} says it is at {shard.position}, its entries end at {position}")
    elif head != shard.head and not broken:
        report.found("head", f"shard {shard.shard}: the head over its entries is not the one it carries")
    return {saga_id: chain.version for saga_id, chain in chains.items()}


def _in_order(store: LogReading, shard: ShardRow) -> Iterator[StoredEntry | ArchivedRow]:
    """A shard's entries and what stays of those that have moved, up to where the shard says it stands."""

    def log() -> Iterator[StoredEntry | ArchivedRow]:
        after = 0
        while page := store.entries_from(shard.shard, after=after, limit=PAGE):
            yield from page
            after = page[-1].position

    def moved() -> Iterator[StoredEntry | ArchivedRow]:
        after = 0
        while page := store.archived(shard.shard, after=after, limit=PAGE):
            yield from page
            after = page[-1].position

    both = heapq.merge(log(), moved(), key=lambda each: each.position)
    return takewhile(lambda each: each.position <= shard.position, both)


def _end(report: Report, row: RunRow, version: int) -> None:
    if version < row.version:
        detail = f"the index of runs knows version {row.version}, the log ends at {version}"
        report.found("gap", detail, saga_id=row.saga_id, version=version + 1)
