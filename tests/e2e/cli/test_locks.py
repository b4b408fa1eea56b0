"""Runs that lock, from the command line: who waits for whom, and what a person does about it."""

from pathlib import Path

import pytest

from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

ORDERS = str(Path(__file__).parent / "apps" / "orders.py")
KEYS = ["key", "saga_id", "saga", "business_key", "status", "since", "held_since"]


@pytest.fixture
def waiting(installation: Installation) -> Installation:
    """R-1 is parked and holds order:A-1, R-2 waits for it."""
    for number in (1, 2):
        installation.publish("orders", {"request_id": f"R-{number}", "order_id": "A-1"})
        installation.ok("worker", ORDERS, "--until-idle")
    (installation.folder / "truck").touch()
    return installation


def test_who_holds_a_lock_and_who_waits_for_it(waiting: Installation) -> None:
    rows = waiting.json("locks", "list")
    assert [list(row) for row in rows] == [KEYS, KEYS]
    assert [(row["key"], row["status"], row["held_since"] is not None) for row in rows] == [
        ("order:A-1", "parked", True),
        ("order:A-1", "queued", False),
    ]
    assert waiting.json("locks", "list", "--key", "order:A-2") == []
    shown = waiting.json("runs", "show", "orders/R-2")
    assert shown["status"] == "queued"
    assert [(each["key"], each["status"]) for each in shown["locks"]] == [
        ("order:A-1", "parked"),
        ("order:A-1", "queued"),
    ]
    assert f"order:A-1, held by {rows[0]['saga_id']}" in waiting.ok("runs", "show", "orders/R-2")
    assert "⏸ waits for order:A-1" in waiting.ok("runs", "story", "orders/R-2")


def test_a_lock_that_a_person_takes_away_lets_the_next_run_begin(waiting: Installation) -> None:
    release = ("locks", "release", "order:A-1", "--reason", "it takes weeks", "--as", "ines")
    left = waiting.json(*release)
    assert (left["request"], left["state"]) == ("release", "requested")
    waiting.ok("worker", ORDERS, "--until-idle")
    assert waiting.json("runs", "show", "orders/R-2")["status"] == "completed"
    assert "ines took order:A-1 away: it takes weeks" in waiting.ok("runs", "story", "orders/R-1")
    assert waiting.json("locks", "list") == []
    waiting.command(*release).refused(6, "AM0353", "nobody holds")
    waiting.ok("audit", "verify", "--all")


def test_with_the_end_of_a_parked_run_the_next_one_begins(waiting: Installation) -> None:
    (waiting.folder / "ledger-is-open").touch()
    waiting.ok("parked", "resolve", "orders/R-1", "--step", "charge", "--retry")
    waiting.ok("worker", ORDERS, "--until-idle")
    found = {row["idempotency_key"]: row["status"] for row in waiting.json("runs", "list")}
    assert found == {"R-1": "compensated", "R-2": "completed"}


def test_a_queued_run_is_cancelled_and_leaves_the_row(waiting: Installation) -> None:
    waiting.ok("runs", "cancel", "orders/R-2", "--reason", "ordered twice")
    waiting.ok("worker", ORDERS, "--until-idle")
    assert [row["status"] for row in waiting.json("locks", "list")] == ["parked"]
    assert waiting.json("runs", "show", "orders/R-2")["cause"] == "cancelled"
