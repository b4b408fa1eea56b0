"""Runs that are still due stay, with their subjects: to be read back after their end, waiting, or pending."""

from base64 import b64encode
from pathlib import Path

import pytest

from tests.e2e.cli.conftest import lines
from tests.e2e.faults.installation import WITHIN_S, Installation
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

DUE = str(Path(__file__).parent / "apps" / "due.py")
ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
ERASE = ("--reason", "asked to")


def begun(folder: Path, **more: str) -> Installation:
    """Ada's run has ended and is to be read back, Bob's waits for a message, Eve's is pending."""
    settings = {"AMENDS_MASTER_KEY": "${env:MASTER}", "MASTER": b64encode(b"m" * 32).decode(), **more}
    installation = Installation(folder=folder, settings=settings)
    for topic, person in (("deliveries", ADA), ("invitations", BOB), ("transfers", EVE)):
        installation.publish(topic, {"request_id": "R-1", "person": person})
    installation.ok("worker", DUE, "--until-idle")
    return installation


def archived(installation: Installation) -> tuple[int, int]:
    """How many runs went to the archive now, and how many that have ended could not."""
    done = installation.json("archive", "--before", "0s")
    return done["runs"], done["still_due"]


def read_back(installation: Installation, proof: str) -> None:
    """Let workers work until the delivery is read back."""

    def is_known() -> bool:
        installation.ok("worker", DUE, "--until-idle")
        return [each["proof"] for each in installation.json("runs", "list", "--saga", "delivery")] == [proof]

    wait_until(is_known, within_s=WITHIN_S, what=f"a run that is {proof}")


def test_none_of_them_is_archived_erased_or_rerun_before_it_is_over(folder: Path) -> None:
    due = begun(folder, READ_BACK_AFTER="1h")
    rows = {each["saga"]: each for each in due.json("runs", "list", "--status", "waiting")}
    assert {(each["saga"], each["status"], each["proof"]) for each in rows.values()} == {
        ("delivery", "completed", "pending"),
        ("invitation", "waiting", None),
        ("transfer", "waiting", None),
    }
    assert archived(due) == (0, 1)
    told = due.command("archive", "--before", "0s")
    assert "still to be read back, and not moved: 1 run (" in told.err
    still = {"delivery": "still to be read back", "invitation": "is waiting", "transfer": "is waiting"}
    for saga, person in (("delivery", ADA), ("invitation", BOB), ("transfer", EVE)):
        run = rows[saga]["saga_id"]
        due.command("subjects", "erase", person, *ERASE).refused(7, "AM0335", run, still[saga])
        due.command("runs", "rerun", run, "--reason", "again").refused(7, "AM5013", run)


def test_each_goes_once_it_is_over_and_says_how_it_was_proven(folder: Path) -> None:
    due = begun(folder)
    read_back(due, "proven")
    due.ok("subjects", "erase", ADA, *ERASE)
    assert archived(due) == (1, 0)

    due.ok("messages", "send", "R-1", "--type", "Done", "--json", '{"text": "yes"}')
    due.ok("messages", "send", "T-R-1", "--answer", "succeeded", "--json", '{"text": "sent"}')
    due.ok("worker", DUE, "--until-idle")
    assert {each["status"] for each in due.json("runs", "list")} == {"completed"}
    assert archived(due) == (2, 0)
    for person in (BOB, EVE):
        due.ok("subjects", "erase", person, *ERASE)
    assert due.json("audit", "verify")["ok"]


def test_one_that_is_not_found_to_be_done_is_over_too(folder: Path) -> None:
    (folder / "lost").touch()
    due = begun(folder)
    read_back(due, "flagged")
    outcomes = [each for each in lines(due.ok("outcomes", "-o", "jsonl")) if each["saga"] == "delivery"]
    assert [each["proof"] for each in outcomes] == ["pending", "flagged"]
    assert outcomes[1]["supersedes"] == outcomes[0]["outcome_id"]
    assert archived(due) == (1, 0)
    due.ok("subjects", "erase", ADA, *ERASE)
