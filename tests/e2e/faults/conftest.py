"""An installation that has been used, made once for the session and copied for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.faults.installation import BOOKINGS, Installation, copy_of, used_once


def _use(installation: Installation) -> None:
    installation.publish("bookings", {"id": "A-1"}, {"id": "A-2", "how": "refuses"}, b"{")
    installation.ok("worker", BOOKINGS, "--until-idle")
    installation.publish("bookings", {"id": "A-3"})


@pytest.fixture(scope="session")
def _used() -> Iterator[Path]:
    with used_once(_use) as folder:
        yield folder


@pytest.fixture
def used(_used: Path, folder: Path) -> Installation:
    """One that has been used: a run that completed, one that was undone, a dead letter, and a trigger not yet read."""
    made = copy_of(_used, folder)
    assert made.count("runs") == 2
    assert made.count("dead_letters") == 1
    assert made.count("records") == 4
    return made
