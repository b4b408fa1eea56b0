"""`amends testing record` and `replay`: runs of a real store, decided again by the code of another day."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from tests.e2e.cli.conftest import REFUNDS
from tests.e2e.cli.test_subjects import ADA, TEXT
from tests.e2e.cli.test_subjects import APP as PEOPLE
from tests.e2e.cli.test_subjects import TOPIC as LETTERS
from tests.e2e.cli.test_subjects import trigger as letter
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(120)

RUNS = ("refund/R-1", "refund/R-2", "refund/R-3")
SOURCE = Path(REFUNDS).read_text(encoding="utf-8")


def recorded(played: Installation) -> Installation:
    played.ok("testing", "record", *RUNS, "--to", "histories")
    return played


def test_runs_that_ended_in_every_way_are_recorded_and_decided_the_same(played: Installation) -> None:
    done = recorded(played).command("testing", "replay", "histories", REFUNDS)
    assert (done.code, done.err) == (0, ""), done.out
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines] == [["✔", f"refund-R-{number}"] for number in (1, 2, 3)]
    assert all("entries decided again" in line for line in lines)


def test_a_graph_that_changed_under_its_version_is_found(played: Installation) -> None:
    recorded(played)
    (played.folder / "next.py").write_text(SOURCE.replace("version=3,", 'version=3,\n    deadline="2h",'))
    done = played.command("testing", "replay", "histories", "next.py", "-o", "json")
    assert done.code == 1
    found = json.loads(done.out)
    assert [each["ok"] for each in found] == [False] * 3
    assert {each["deviations"][0]["what"] for each in found} == {
        "'refund' v3 is another graph than the one recorded (deadline_ms); raise its version"
    }


def test_what_is_recorded_is_told(played: Installation) -> None:
    found = played.json("testing", "record", "refund/R-1", "--to", "histories")
    (only,) = found
    assert list(only) == ["saga_id", "history", "entries", "placeholders"]
    assert only["history"] == "refund-R-1"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        pytest.param(("record", "refund/R-99", "--to", "histories"), 6, "AM5010", id="no such run"),
        pytest.param(("replay", "nowhere", REFUNDS), 2, "AM5110", id="no such folder"),
        pytest.param(("replay", "ledger", REFUNDS), 2, "AM5110", id="nothing recorded there"),
        pytest.param(("record", "refund/R-1", "--to", "file"), 2, "AM5113", id="no folder to write into"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], code: int, error: str, played: Installation) -> None:
    (played.folder / "file").write_text("")
    played.command("testing", *arguments).refused(code, error)


def test_a_sealed_run_is_recorded_with_placeholders_and_only_where_it_can_be_opened(folder: Path) -> None:
    settings = {"AMENDS_MASTER_KEY": "${env:MASTER}", "MASTER": b64encode(b"m" * 32).decode()}
    sealed = Installation(folder=folder, settings=settings)
    sealed.publish(LETTERS, letter(1), letter(2, fail="large"), letter(3, fail="refuse"))
    sealed.ok("worker", PEOPLE, "--until-idle")
    runs = ("letter/R-1", "letter/R-2", "letter/R-3")
    record = ("testing", "record", *runs, "--to", "histories")
    sealed.command(*record, settings={"AMENDS_MASTER_KEY": ""}).refused(2, "AM0331")
    other = {"MASTER": b64encode(b"n" * 32).decode()}
    sealed.command(*record, settings=other).refused(2, "AM5111", "not the master key of its time")
    assert sealed.ok(*record).count("placeholders for what is sealed") == len(runs)
    written = "".join(file.read_text() for file in (sealed.folder / "histories").rglob("*.json*"))
    assert ADA not in written
    assert TEXT not in written
    blind = sealed.command("testing", "replay", "histories", PEOPLE, settings={"AMENDS_MASTER_KEY": ""})
    assert blind.code == 0, blind.out
    sealed.ok("subjects", "erase", ADA, "--reason", "asked to")
    sealed.command(*record).refused(2, "AM5111", "its subject was erased")
    assert sealed.command("testing", "replay", "histories", PEOPLE).code == 0, "what is recorded was never hers"
