"""`dedup_for` from outside: a key that comes again when its time is over, and a record that is read again."""

from pathlib import Path

import pytest

from tests.e2e.cli.conftest import lines
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

REPEATING = str(Path(__file__).parent / "apps" / "repeating.py")


def test_a_key_that_comes_again_starts_the_next_generation_and_a_record_that_is_read_again_nothing(
    installation: Installation,
) -> None:
    for value in (1, 2):
        installation.publish("meters.read", {"meter": "M-1", "value": value})
        installation.ok("worker", REPEATING, "--until-idle")
    rows = installation.json("runs", "list", "--key", "M-1")
    assert [(row["generation"], row["status"]) for row in rows] == [(1, "completed"), (0, "completed")]
    assert installation.json("runs", "show", "reading/M-1")["result"] == 2
    ended = lines(installation.ok("outcomes", "-o", "jsonl"))
    assert [(each["generation"], each["result"]) for each in ended] == [(0, 1), (1, 2)]
    installation.write("DELETE FROM consumers")  # The group begins anew, at the first record.
    installation.ok("worker", REPEATING, "--until-idle")
    assert installation.json("runs", "list", "--key", "M-1") == rows
    explained = [installation.json("triggers", "explain", f"meters.read:0:{offset}") for offset in (0, 1)]
    assert [each["saga_id"] for each in explained] == [rows[1]["saga_id"], rows[0]["saga_id"]]
    assert installation.json("audit", "verify", "--all")["ok"]
