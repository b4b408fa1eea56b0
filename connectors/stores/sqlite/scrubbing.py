"""Have what was overwritten leave the files of a SQLite store: its pages, its free list, its write-ahead log.

`secure_delete` overwrites what is deleted from then on; what was moved before, when a page was split for instance, may
stand in a page's unused part. So the whole database is written anew (VACUUM), and the log is emptied.
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Final

from amends.connectors.stores import faults
from amends.connectors.stores.sqlite.connections import open_writer, told_as_faults

TRIES_S: Final = 20.0
"""A reader that is in mid-sentence keeps the log from being emptied; ours take milliseconds."""
_PAUSE_S: Final = 0.05


def scrub(path: Path) -> None:
    """Raises `StoreUnavailable` where others keep the log from being emptied, or the disk has no room for a copy."""
    with told_as_faults(path), closing(open_writer(path)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("VACUUM")
        deadline = time.monotonic() + TRIES_S
        while True:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy:
                return
            if time.monotonic() > deadline:
                raise faults.busy(str(path), "somebody reads it all the time, so its write-ahead log cannot be emptied")
            time.sleep(_PAUSE_S)
