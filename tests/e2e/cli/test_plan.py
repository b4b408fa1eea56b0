"""`amends plan`: what a deployment would change, asked of real stores, held against what a worker does."""

import json
from pathlib import Path

import pytest

from tests.e2e.cli.conftest import REFUNDS, TOPIC, play, trigger
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

NONE, SAFE, PERSON = 0, 10, 11
SOURCE = Path(REFUNDS).read_text(encoding="utf-8")
NEXT = SOURCE.replace("version=3,", 'version=4,\n    deadline="2h",')
RENAMED = (
    NEXT.replace("def restock", "def shelve").replace("@restock", "@shelve").replace("after=restock", "after=shelve")
)
OTHER_GRAPH = SOURCE.replace("version=3,", 'version=3,\n    deadline="2h",')
GONE = SOURCE.replace('"refund"', '"return"')


@pytest.fixture(params=["sqlite", "postgres"])
def installed(request: pytest.FixtureRequest, folder: Path) -> Installation:
    """One with a parked run of refund v3, whose undo waits for a person."""
    settings = {}
    if request.param == "postgres":
        settings = {"AMENDS_STORE": request.getfixturevalue("postgres"), "AMENDS_LEASE": "1s"}
    return play(Installation(folder=folder, settings=settings))


def app(installation: Installation, text: str, name: str = "next.py") -> str:
    (installation.folder / name).write_text(text)
    return name


def test_what_is_deployed_is_planned_without_change(installed: Installation) -> None:
    done = installed.command("plan", REFUNDS, "--against", "deployed")
    assert (done.code, done.err) == (NONE, "")
    assert done.out.splitlines() == [
        f"{REFUNDS} against deployed",
        "  = unchanged refund v3",
        "      ✔ 1 open run of v3 (1 parked) goes on with the graph it started with",
        "✔ no change",
    ]


def test_a_new_version_is_safe_and_a_worker_takes_it(installed: Installation) -> None:
    named = app(installed, NEXT)
    done = installed.command("plan", named)
    assert done.code == SAFE
    assert done.out.splitlines()[1:] == [
        "  ~ changed refund v3 → v4",
        "      ~ deadline 1h → 2h",
        "      ✔ 1 open run of v3 (1 parked) goes on with the graph it started with",
        "✔ safe for open runs",
    ]
    installed.ok("worker", named, "--until-idle")
    assert installed.command("plan", named).code == NONE
    installed.publish(TOPIC, trigger(9, fail="undo"))
    installed.ok("worker", named, "--until-idle")
    plan = installed.json("plan", named)
    (saga,) = plan["sagas"]
    assert [(runs["version"], runs["statuses"]) for runs in saga["open_runs"]] == [
        (4, {"parked": 1}),
        (3, {"parked": 1}),
    ]


def test_a_missing_handler_is_for_a_person_and_a_worker_refuses_it(installed: Installation) -> None:
    named = app(installed, RENAMED)
    done = installed.command("plan", named, "-o", "json")
    assert done.code == PERSON
    plan = json.loads(done.out)
    (saga,) = plan["sagas"]
    (runs,) = saga["open_runs"]
    assert list(plan) == ["app", "against", "verdict", "sagas"]
    assert list(saga) == ["saga", "change", "verdict", "before", "after", "changes", "consequences", "open_runs"]
    assert runs["lacks"] == dict.fromkeys(("restock", "restock.undo"), "there is no handler of this name")
    assert [each["code"] for each in saga["consequences"]] == ["AM3002"]
    assert [(each["change"], each["path"]) for each in saga["changes"] if each["path"] and not each["field"]] == [
        ("removed", "restock"),
        ("added", "shelve"),
    ]
    installed.command("worker", named, "--until-idle").refused(2, "AM3002", "restock, restock.undo")


def test_one_version_with_two_graphs_is_for_a_person_and_a_worker_refuses_it(installed: Installation) -> None:
    named = app(installed, OTHER_GRAPH)
    done = installed.command("plan", named)
    assert done.code == PERSON
    assert "! look at this AM3001: v3 had another graph before" in done.out
    assert "→ give the changed graph a new version, for instance version=4" in done.out
    installed.command("worker", named, "--until-idle").refused(2, "AM3001")


def test_a_saga_that_is_gone_leaves_its_runs_waiting(installed: Installation) -> None:
    plan = installed.command("plan", app(installed, GONE))
    assert plan.code == PERSON
    assert "  - removed refund v3\n" in plan.out
    assert "APP has no saga 'refund'" in plan.out
    assert "  + new return v3\n" in plan.out


def test_planning_changes_nothing(installed: Installation) -> None:
    named = app(installed, RENAMED)
    before = installed.rows("SELECT hash, body FROM definitions ORDER BY hash")
    with installed.unchanged():
        installed.command("plan", named)
    assert installed.rows("SELECT hash, body FROM definitions ORDER BY hash") == before


def test_two_versions_of_one_module_are_compared_without_a_store(installation: Installation) -> None:
    for name, text in (("old", SOURCE), ("new", NEXT)):
        (installation.folder / name / "shop").mkdir(parents=True)
        (installation.folder / name / "shop" / "__init__.py").touch()
        (installation.folder / name / "shop" / "sagas.py").write_text(f'print("imported {name}")\n{text}')
    done = installation.command("plan", "new/shop/sagas.py", "--against", "old/shop/sagas.py")
    assert done.code == SAFE
    assert "~ changed refund v3 → v4\n      ~ deadline 1h → 2h\n" in done.out
    assert "imported old" in done.err, "what an app prints is no part of the plan"
    assert not installation.database.exists()
    assert installation.command("plan", "old/shop/sagas.py", "--against", "old/shop/sagas.py").code == NONE


def test_without_a_store_a_handler_that_is_gone_is_for_a_person(installation: Installation) -> None:
    done = installation.command("plan", app(installation, RENAMED), "--against", REFUNDS)
    assert done.code == PERSON
    assert "! look at this AM3002: runs of v3 that are open would wait: restock: there is no handler" in done.out


@pytest.mark.parametrize(
    ("against", "text", "code"),
    [
        pytest.param("nope.py", None, "AM1100", id="not there"),
        pytest.param("bad.py", "x = 1 / 0\n", "AM1101", id="not importable"),
        pytest.param("empty.py", "x = 1\n", "AM1102", id="no saga"),
        pytest.param("dies.py", "import os; os._exit(3)\n", "AM5062", id="its process dies"),
        pytest.param("", None, "AM5060", id="nothing"),
    ],
)
def test_what_cannot_be_compared_with_is_said(
    installation: Installation, against: str, text: str | None, code: str
) -> None:
    if text is not None:
        (installation.folder / against).write_text(text)
    done = installation.command("plan", REFUNDS, "--against", against)
    assert (done.code, done.error.partition(":")[0]) == (2, f"error {code}")
    assert done.out == ""


def test_a_definition_of_a_newer_release_is_named(played: Installation) -> None:
    played.write("""UPDATE definitions SET body = '{"form":{"form_version":"next"}}'""")
    played.command("plan", REFUNDS).refused(2, "AM5061", "saga 'refund' v3", "or a newer one")


def test_a_store_that_is_new_has_nothing_deployed(installation: Installation) -> None:
    done = installation.command("plan", REFUNDS)
    assert (done.code, done.out.splitlines()[1]) == (SAFE, "  + new refund v3")
