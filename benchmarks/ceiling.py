"""The raw insert ceiling: the same bytes in the same commits, by the bare driver, with nothing around it.

No state is folded, no handler called, no other table or index kept: nothing on this store is faster with these commits.
"""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from benchmarks.phases import Phase

Entries = Sequence[tuple[str, int, bytes]]
"""What one commit appended: run, version and canonical bytes of each entry."""


def embedded_ceiling(path: Path, phase: Phase, commits: Sequence[Entries]) -> Phase:
    """Append to a new SQLite file, as durably as the store: a write-ahead log, every commit synced."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE events (saga_id TEXT, version INTEGER, data BLOB, position INTEGER PRIMARY KEY)")
    lasted: list[float] = []
    cpu = time.process_time()
    for entries in commits:
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events (saga_id, version, data) VALUES (?, ?, ?)", entries)
        connection.execute("COMMIT")
        lasted.append(time.perf_counter() - began)
    connection.close()
    return _ceiling(phase, lasted, time.process_time() - cpu)


def served_ceiling(database: str, phase: Phase, commits: Sequence[Entries]) -> Phase:
    """Append to a new table of the same server, each commit one statement over arrays."""
    lasted: list[float] = []
    cpu = time.process_time()
    with psycopg.connect(database, autocommit=True) as connection, connection.cursor(binary=True) as cursor:
        cursor.execute("DROP TABLE IF EXISTS ceiling")
        cursor.execute(
            "CREATE TABLE ceiling (saga_id text, version bigint, data bytea, position bigserial PRIMARY KEY)"
        )
        for entries in commits:
            began = time.perf_counter()
            saga_ids, versions, data = zip(*entries, strict=True)
            cursor.execute(
                "INSERT INTO ceiling (saga_id, version, data)"
                " SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bytea[])",
                (list(saga_ids), list(versions), list(data)),
                prepare=True,
            )
            lasted.append(time.perf_counter() - began)
    return _ceiling(phase, lasted, time.process_time() - cpu)


def _ceiling(phase: Phase, lasted: Sequence[float], cpu_s: float) -> Phase:
    """As many runs as the phase had, in the time that their commits took; a run's latency is its four commits'."""
    ordered = sorted(lasted)
    return Phase(
        name=f"{phase.name}-ceiling",
        count=phase.count,
        per_s=phase.count / sum(lasted),
        p50_ms=4 * ordered[len(ordered) // 2] * 1000,
        p99_ms=4 * ordered[len(ordered) * 99 // 100] * 1000,
        cpu_ms=cpu_s / phase.count * 1000,
        commits=len(lasted),
    )
