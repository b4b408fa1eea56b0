"""An installation for each test: the embedded default in a folder of its own."""

from pathlib import Path

import pytest

from tests.e2e.faults.installation import Installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with an empty ledger."""
    (tmp_path / "ledger").mkdir()
    return tmp_path


@pytest.fixture
def installation(folder: Path) -> Installation:
    """One in an empty folder: no store yet."""
    return Installation(folder=folder)
