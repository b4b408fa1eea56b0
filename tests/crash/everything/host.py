"""Runs commands of Amends, each in a process of its own that finds everything imported, and that can die at an entry.

Reads one command a line as JSON: `arguments`, `folder`, `out`, `die` ("before" or "after" an entry, or null), `entry`.
Answers a line with the exit code, -9 for one that was killed.
"""

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from typing import Any

from amends.connectors.stores.sqlite import SqliteStore
from amends.coordinator.cli.main import run
from amends.coordinator.ports.rows import Batch
from tests.docs.host import PRELOADED


def main() -> None:
    """Until nobody asks any more."""
    for name in PRELOADED:
        __import__(name)
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(wanted)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(wanted: dict[str, Any]) -> None:
    """Be that command, and end with it."""
    os.chdir(wanted["folder"])
    for stream, path in ((0, os.devnull), (1, wanted["out"]), (2, "log")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), stream)
    if wanted["die"] is not None:
        _die(wanted["die"], wanted["entry"])
    code = run(wanted["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _die(when: str, entry: int) -> None:
    """As by `kill -9`, directly before or after the append with which the log has so many entries."""
    append, written = SqliteStore.append, _entries()

    def deadly(self: SqliteStore, batch: Batch) -> None:
        nonlocal written
        written += sum(len(part.entries) for part in batch.appends)
        if when == "after":
            append(self, batch)
        if written >= entry:
            os.kill(os.getpid(), signal.SIGKILL)
        if when == "before":
            append(self, batch)

    SqliteStore.append = deadly  # type: ignore[method-assign]


def _entries() -> int:
    with closing(sqlite3.connect("file:.amends/amends.db?mode=ro", uri=True)) as store:
        return int(store.execute("SELECT count(*) FROM events").fetchone()[0])


if __name__ == "__main__":
    main()
