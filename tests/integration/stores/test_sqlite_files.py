"""The files of a store are watched without harm: no lock on them is given up, and no descriptor is left behind."""

import fcntl
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from amends.connectors.stores.sqlite.files import OpenFiles

LOCK = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "amends.db"
    path.touch()
    return path


@pytest.fixture
def log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def held(path: Path) -> bool:
    """Whether a descriptor of this process is of the file."""
    found = set()
    for descriptor in Path("/dev/fd").iterdir():
        with suppress(OSError):  # The one that the list itself was read from.
            found.add(os.stat(descriptor).st_ino)  # noqa: PTH116  of the file that it stands for
    return path.stat().st_ino in found


def test_to_let_go_of_the_files_gives_up_no_lock_on_them(path: Path, log: Path) -> None:
    """POSIX takes all locks of a process on a file away with the first descriptor of it that is closed."""
    log.touch()
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        files = OpenFiles(path)
        assert not files.moved()
        del files
        other = subprocess.run([sys.executable, "-c", LOCK, path], check=False, capture_output=True, timeout=30)
    assert b"BlockingIOError" in other.stderr


def test_files_of_which_one_is_not_there_are_watched_and_leave_no_descriptor(path: Path, log: Path) -> None:
    files = OpenFiles(path)
    assert not files.moved()
    assert not held(path)
    log.touch()
    assert files.moved()


def test_files_that_nobody_watches_any_more_are_let_go(path: Path, log: Path) -> None:
    log.touch()
    files = OpenFiles(path)
    assert not files.moved()
    del files
    assert not held(path)
    assert not held(log)
