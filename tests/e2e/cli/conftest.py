"""Installations that have seen a bit of everything, one made for the session and copied for each test."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults.installation import Installation

TOPIC = "billing.refund-requested"
REFUNDS = str(Path(__file__).parent / "apps" / "refunds.py")


def trigger(number: int, **more: str) -> dict[str, str]:
    """A request R-n about order A-n."""
    return {"request_id": f"R-{number}", "order_id": f"A-{number}", **more}


TRIGGERS: list[dict[str, Any] | bytes] = [
    trigger(1),
    trigger(2, fail="mail"),
    trigger(3, fail="undo"),
    trigger(1),
    trigger(1) | {"order_id": "A-9"},
    {"request_id": "R-4"},
    b"[]",
]
"""One completes, one is undone, one parks in its undo; a duplicate, a conflict, an invalid and an undecodable one."""


def play(installation: Installation) -> Installation:
    """Let a worker carry out all of them."""
    installation.publish(TOPIC, *TRIGGERS)
    installation.ok("worker", REFUNDS, "--until-idle")
    return installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ledger").mkdir()
    return tmp_path


@pytest.fixture
def fresh(folder: Path) -> Installation:
    """The embedded default in an empty folder."""
    return Installation(folder=folder)


@pytest.fixture(scope="session")
def _played() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="amends-test-") as name:
        made = Installation(folder=Path(name))
        made.ledger.mkdir()
        yield play(made).folder


@pytest.fixture
def played(_played: Path, folder: Path) -> Installation:
    """One in which all of `TRIGGERS` came to their ends."""
    shutil.copytree(_played, folder, dirs_exist_ok=True)
    return Installation(folder=folder)


def saga_id(installation: Installation, key: str) -> str:
    """The run of a request."""
    (row,) = installation.json("runs", "list", "--key", key)
    found: str = row["saga_id"]
    return found


def lines(text: str) -> list[Any]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
