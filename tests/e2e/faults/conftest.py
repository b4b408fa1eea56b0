"""An installation for each test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.faults.installation import BOOKINGS, Installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with an empty ledger."""
    (tmp_path / "ledger").mkdir()
    return tmp_path


@pytest.fixture
def installation(folder: Path) -> Installation:
    """The embedded default in an empty folder: no store yet."""
    return Installation(folder=folder)


@pytest.fixture(scope="session")
def _used_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="amends-test-") as name:
        used = Installation(folder=Path(name))
        used.ledger.mkdir()
        used.publish("bookings", {"id": "A-1"}, {"id": "A-2", "how": "refuses"}, b"{")
        used.ok("worker", BOOKINGS, "--until-idle")
        used.publish("bookings", {"id": "A-3"})
        yield used.folder


@pytest.fixture
def used(_used_folder: Path, folder: Path) -> Installation:
    """One that has been used: a run that completed, one that was undone, a dead letter, and a trigger not yet read."""
    shutil.copytree(_used_folder, folder, dirs_exist_ok=True)
    made = Installation(folder=folder)
    assert made.count("runs") == 2
    assert made.count("dead_letters") == 1
    assert made.count("records") == 4
    return made
