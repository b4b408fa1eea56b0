"""Backup and restore of a SQLite store by SQLite's own online copy: consistent while others read and write."""

import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Final

from amends.connectors.stores import faults
from amends.connectors.stores.sqlite.connections import open_writer, told_as_faults, uri
from amends.connectors.stores.sqlite.making import version
from amends.coordinator.errors import AmendsError

EPOCHS_SKIPPED: Final = 1_000_000
"""Owners after a restore outrank every owner that lived after the backup, in the eyes of participants that fence."""


def backup(path: Path, to: Path) -> None:
    """Copy the store at `path` to the new file `to`, whole or not at all."""
    if to.exists():
        raise faults.copy_exists(to)
    unfinished = to.with_name(to.name + ".unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        with told_as_faults(path), closing(sqlite3.connect(uri(path, "ro"), uri=True)) as source:
            source.execute("SELECT 1 FROM store").fetchone()
            _copy(source, unfinished, to)
        unfinished.chmod(0o600)
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.rename(to)
    except OSError as error:
        raise faults.copy_failed(to, error.strerror or str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def restore(path: Path, source: Path) -> None:
    """Overwrite the store at `path`, in one transaction, with the backup; keep what was there beside it.

    Leases are void, no shard counts as left in order, and the incarnation is new: the log published so far may hold
    entries that this store has lost.
    """
    _check(source)
    if version(path):
        backup(path, path.with_name(f"{path.name}.before-restore-{uuid.uuid4().hex[:8]}"))
    with told_as_faults(path), closing(open_writer(path)) as target:
        with closing(sqlite3.connect(uri(source, "ro") + "&immutable=1", uri=True)) as copy:
            copy.backup(target)
        target.execute("BEGIN IMMEDIATE")
        target.execute("UPDATE store SET incarnation = ?", (str(uuid.uuid4()),))
        for table in ("shards", "leases"):
            target.execute(
                f"UPDATE {table} SET owner = NULL, expires_at = NULL, clean = FALSE, epoch = epoch + {EPOCHS_SKIPPED}"
            )
        target.execute("DELETE FROM workers")
        target.execute("COMMIT")


def _copy(source: sqlite3.Connection, unfinished: Path, to: Path) -> None:
    try:
        with closing(sqlite3.connect(unfinished)) as target:
            source.backup(target, pages=1_024)
    except sqlite3.DatabaseError as error:
        raise faults.copy_failed(to, str(error)) from error


def _check(source: Path) -> None:
    if not source.is_file():
        raise faults.no_copy(source, "there is no such file")
    try:
        found = version(source)
    except AmendsError as error:
        raise faults.no_copy(source, error.what) from error
    if not found:
        raise faults.no_copy(source, "it is empty")
