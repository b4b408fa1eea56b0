"""Nothing secret is in an entry, a topic of ours, a log line or what a command prints (rule 17)."""

from pathlib import Path

import pytest

from tests.e2e.faults.installation import Installation, ended

APP = str(Path(__file__).with_name("leaking_app.py"))
TOKEN = 'tok/en+of a "participant"'
SPELLINGS = (TOKEN, "tok/en+of", "tok%2Fen", 'a \\"participant')


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(folder=tmp_path, settings={"PARTICIPANT_TOKEN": TOKEN})
    made.ledger.mkdir()
    return made


@pytest.mark.timeout(150)
def test_a_secret_leaves_by_no_door(installation: Installation) -> None:
    with installation.running("worker", APP) as worker:
        installation.publish("orders", {"id": "O-1"})
        ended(installation, 1)  # The secret is known from its first use on.
        installation.publish("orders", {"id": "O-2", "note": f"they wrote {TOKEN} here"})
        ended(installation, 2)
        assert worker.stop() == 0
    said = [worker.text]
    said += [installation.ok(*command, "-o", "jsonl") for command in (["outcomes"], ["audit", "tail"])]
    said += [installation.ok("runs", view, "order/O-2") for view in ("show", "story")]
    said.append(installation.ok("replay", "order/O-1"))
    stored = [bytes(row[0]).decode() for row in installation.rows(entries("O-1") + " UNION ALL " + entries("O-2"))]
    for text in [*said, *stored]:
        assert [spelling for spelling in SPELLINGS if spelling in text] == [], text
    assert any("Bearer [redacted]" in text for text in stored)
    assert any("they wrote [redacted] here" in text for text in stored)
    assert "leaked [redacted]" in worker.text
    assert installation.json("audit", "verify", "--all")["ok"]


def entries(key: str) -> str:
    return f"SELECT e.state FROM events e JOIN runs r ON r.saga_id = e.originator_id WHERE r.idempotency_key = '{key}'"
