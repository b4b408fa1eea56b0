"""The lock that makes a coordinator the only one on its SQLite store.

The kernel holds it (`flock`) and lets go of it when the process ends, however it ends. So whoever gets it knows that no
former owner lives; the text in the file only names the holder to a person and decides nothing.

A process forked from the holder (a handler's pool of processes, say) shares what it has open, the lock too, and may
outlive it. So it lets go of it first of all, or nobody could follow a holder that was killed.
"""

import fcntl
import os
import socket
from pathlib import Path
from typing import Final
from weakref import WeakSet

from amends.connectors.stores import faults


class CoordinatorLock:
    """Held from `acquire` to `release` or the end of the process. Raises `Conflict` (exit 7) naming the holder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self, *, upgrade: str = "") -> None:
        """Take it, or raise at once, saying what `upgrade` it is for. Taking it twice is taking it once."""
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise faults.read_only(str(self.path), error.strerror or str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "a process just starting"
            os.close(descriptor)
            raise faults.second_coordinator(self.path, holder, upgrade) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._descriptor = descriptor
        _HELD.add(self)

    def release(self) -> None:
        """Let go; the file stays, for removing it would let two holders hold two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_HELD: Final[WeakSet[CoordinatorLock]] = WeakSet()


def _let_go_in_child() -> None:
    """Closing a copy lets go of nothing that the holder itself has."""
    for lock in _HELD:
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)


def lock_of(path: Path) -> Path:
    """The lock of the store in this file. It follows from the file alone, so no setting can lead past it."""
    return path.with_name("coordinator.lock" if path.name == "amends.db" else f"{path.name}.coordinator.lock")
