"""The files of a store as they were opened: SQLite goes on with those, whoever has their names by now."""

import os
import weakref
from pathlib import Path


class OpenFiles:
    """The database and its log. Made while SQLite has both open; lets go of them when nobody refers to it any more.

    On Linux the files are asked for their names, not the names for their files: since 6.13 a `stat` has the file's next
    write take a time of its own, which is then synced beside the data and made a small commit a quarter slower.
    """

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), f"{path}-wal")
        descriptors = _references(self._paths)
        self._links = tuple(map(_link, descriptors))
        self._known = self._found()
        weakref.finalize(self, _close, descriptors)

    def moved(self) -> bool:
        """Whether one of them has been removed, renamed or replaced."""
        return self._found() != self._known

    def _found(self) -> tuple[object, ...]:
        if self._links:
            return tuple(map(os.readlink, self._links))  # Of one that was removed it ends in " (deleted)".
        return tuple(map(_inode, self._paths))


def _references(paths: tuple[str, ...]) -> list[int]:
    """Descriptors that only refer to files: to close one gives up no lock, as any other on a file of SQLite's would.

    Empty where the system has no such descriptors, or no `/proc` that knows their names.
    """
    found: list[int] = []
    if not hasattr(os, "O_PATH"):
        return found
    try:
        for path in paths:
            found.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
            os.readlink(_link(found[-1]))  # noqa: PTH115  a path takes several times as long, here and above
    except OSError:
        _close(found)
    return found


def _link(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return None
