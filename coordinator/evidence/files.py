"""Files that are written whole or not at all, and never over another one."""

import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from amends.coordinator.evidence import faults


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that nobody else may read. Raises `UsageError`: AM3013 it exists, AM3014 it cannot be."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise faults.exists(str(path)) from None
    except OSError as error:
        raise faults.not_written(str(path), error.strerror or str(error)) from error


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A new file, readable by its owner alone, there only once the block ends well. Raises as `write_secret` does."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if path.exists():
            raise faults.exists(str(path))
        _without_leftovers(path)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w+b") as file:  # noqa: PTH123  a descriptor
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
                file.flush()
                os.fsync(file.fileno())
            _named(partial, path)
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()
    except FileExistsError:
        raise faults.exists(str(path)) from None
    except OSError as error:
        raise faults.not_written(str(path), error.strerror or str(error)) from error


def _without_leftovers(path: Path) -> None:
    """Remove what somebody began and was killed in the middle of; who is still writing has it locked."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _named(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)  # Unlike a rename it never replaces what came meanwhile.
    except FileExistsError:
        raise
    except OSError:  # Some file systems know no links.
        partial.rename(path)
