"""An installation that has seen a bit of everything, made once for the session and copied for each test."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults.installation import Installation, copy_of, used_once

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


@pytest.fixture(scope="session")
def _played() -> Iterator[Path]:
    with used_once(play) as folder:
        yield folder


@pytest.fixture
def played(_played: Path, folder: Path) -> Installation:
    """One in which all of `TRIGGERS` came to their ends."""
    return copy_of(_played, folder)


def saga_id(installation: Installation, key: str) -> str:
    """The run of a request."""
    (row,) = installation.json("runs", "list", "--key", key)
    found: str = row["saga_id"]
    return found


def lines(text: str) -> list[Any]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
