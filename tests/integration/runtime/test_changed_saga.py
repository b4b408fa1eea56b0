"""Rule 14 with the installed command on real stores: a saga changes while its runs are open.

The runs wait, visibly, and are never failed for it; with the handlers back, or a new version beside, they end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults.installation import Installation
from tests.servers.waiting import wait_until

APP = str(Path(__file__).with_name("changed_app.py"))
FORWARD, BACKWARD = {"id": "T-1"}, {"id": "T-2", "fails": True}
RETRYING = "version > 8 AND status IN ('running', 'compensating')"
FORWARD_WAITS, BACKWARD_WAITS = ("T-1", "room"), ("T-2", "seat.undo")
DONE = {("T-1", "seat"): 1, ("T-1", "room-for-7"): 1, ("T-2", "seat"): 1, ("T-2", "seat-given-back"): 1}

CHANGES = [
    pytest.param("sqlite", "no room, version 2", {FORWARD_WAITS}, id="a step is removed"),
    pytest.param("sqlite", "required field", {FORWARD_WAITS}, id="a required field is added"),
    pytest.param(
        "sqlite", "required field, version 2", {FORWARD_WAITS}, id="a required field is added in a new version"
    ),
    pytest.param("sqlite", "renamed step, version 2", {BACKWARD_WAITS}, id="an undo is renamed"),
    pytest.param(
        "postgresql",
        "renamed step, no room, version 2",
        {FORWARD_WAITS, BACKWARD_WAITS},
        id="on PostgreSQL a step is removed and an undo renamed",
        marks=pytest.mark.postgres,
    ),
    pytest.param(
        "postgresql",
        "required field",
        {FORWARD_WAITS},
        id="on PostgreSQL a required field is added",
        marks=pytest.mark.postgres,
    ),
]


@pytest.fixture(params=["sqlite"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """Two runs are open: one wants its room, one wants to give its seat back; the participant is closed for both."""
    url = {"AMENDS_STORE": request.getfixturevalue("postgres")} if request.param == "postgresql" else {}
    made = Installation(folder=tmp_path, settings={"AMENDS_LEASE": "1s", **url})
    made.ledger.mkdir()
    (made.folder / "closed").touch()
    made.publish("trips", FORWARD, BACKWARD)
    with made.running("worker", APP) as worker:
        wait_until(
            lambda: not worker.alive or made.count("runs", RETRYING) == 2,
            within_s=25,
            what="both are open, and try again and again",
        )
        assert worker.alive, worker.text
        assert worker.stop() == 0
    return made


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("installation", "today", "waiting"), CHANGES, indirect=["installation"])
def test_runs_wait_visibly_for_what_is_gone_and_end_when_it_is_back(
    installation: Installation, today: str, waiting: set[tuple[str, str]]
) -> None:
    (installation.folder / "closed").unlink()
    entries = installation.count("events")

    refused = installation.command("worker", APP, settings={"SAGA_TODAY": today})
    refused.refused(2, "AM3002", *{handler for _, handler in waiting if len(waiting) == 1})
    found = installation.command("check", APP, "--store", settings={"SAGA_TODAY": today})
    assert found.code == 1
    assert all(handler in found.out for _, handler in waiting)
    assert installation.count("events") == entries

    with installation.running("worker", APP, "--allow-missing", settings={"SAGA_TODAY": today}) as worker:
        open_runs = "status NOT IN ('completed', 'compensated', 'waiting')"
        wait_until(lambda: installation.count("runs", open_runs) == 0, within_s=25, what="each run ends or waits")
        assert told(installation) == waiting
        assert over(installation) == {"T-1", "T-2"} - keys(waiting)
        assert {each["idempotency_key"] for each in installation.json("runs", "list", "--status", "waiting")} == keys(
            waiting
        )
        assert {handler for _, handler in waiting} <= set(
            " ".join(each["run"] for each in worker.events("handler_missing")).replace(",", "").split()
        )
        assert worker.stop() == 0
    assert told(installation) == waiting

    with installation.running("worker", APP):
        wait_until(lambda: installation.count("runs", "ended_at IS NULL") == 0, within_s=25, what="all end")
    assert told(installation) == set()
    assert ends(installation) == {"T-1": "completed", "T-2": "compensated"}
    assert installation.effects() == DONE
    assert installation.json("audit", "verify", "--all")["ok"]


@pytest.mark.timeout(120)
def test_until_idle_leaves_what_waits_for_a_handler_and_names_it(installation: Installation) -> None:
    (installation.folder / "closed").unlink()
    done = installation.command(
        "worker", APP, "--until-idle", "--allow-missing", settings={"SAGA_TODAY": "renamed step, no room, version 2"}
    )
    assert done.code == 0, done
    assert "waiting for room" in done.err
    assert "waiting for seat.undo" in done.err


@pytest.mark.timeout(120)
def test_a_new_version_beside_the_old_one_takes_new_triggers_and_the_old_runs_end(installation: Installation) -> None:
    (installation.folder / "closed").unlink()
    both = installation.folder / "both"
    both.mkdir()
    text = Path(APP).read_text()
    (both / "old.py").write_text(text)
    (both / "new.py").write_text(text.replace('os.environ.get("SAGA_TODAY", "as it was")', '"renamed step, version 2"'))
    installation.publish("trips", {"id": "T-3"})
    assert installation.command("worker", both, "--until-idle").code == 0
    assert ends(installation) == {"T-1": "completed", "T-2": "compensated", "T-3": "completed"}
    assert {row["idempotency_key"]: row["definition_version"] for row in runs(installation)} == {
        "T-1": 1,
        "T-2": 1,
        "T-3": 2,
    }


@pytest.mark.timeout(120)
@pytest.mark.parametrize("today", ["optional field", "renamed function", "optional field, version 2"])
def test_a_handler_that_can_read_what_was_stored_serves_open_runs(installation: Installation, today: str) -> None:
    (installation.folder / "closed").unlink()
    done = installation.command("worker", APP, "--until-idle", settings={"SAGA_TODAY": today})
    assert done.code == 0, done
    assert ends(installation) == {"T-1": "completed", "T-2": "compensated"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "installation", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_schemas_that_no_open_run_rests_on_are_replaced(installation: Installation) -> None:
    (installation.folder / "closed").unlink()
    installation.ok("worker", APP, "--until-idle")
    installation.publish("trips", {"id": "T-3"})
    done = installation.command("worker", APP, "--until-idle", settings={"SAGA_TODAY": "required field"})
    assert done.code == 0, done
    assert ends(installation)["T-3"] == "completed"


@pytest.mark.timeout(120)
def test_one_version_with_two_graphs_is_refused(installation: Installation) -> None:
    with installation.unchanged():
        refused = installation.command("worker", APP, settings={"SAGA_TODAY": "renamed step"})
    refused.refused(2, "AM3001", "'trip' v1", "version=2")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_what_dev_tried_out_under_a_version_is_refused_by_a_worker(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = {"AMENDS_STORE": request.getfixturevalue("postgres")} if store == "postgresql" else {}
    installation = Installation(folder=tmp_path, settings={"AMENDS_LEASE": "1s", **url})
    installation.ledger.mkdir()
    for today in ("as it was", "renamed step"):
        with installation.running("dev", APP, settings={"SAGA_TODAY": today}) as dev:
            dev.says("worker_started")
    changed = installation.command("worker", APP, "--until-idle", settings={"SAGA_TODAY": "renamed step"})
    changed.refused(2, "AM3001", "'trip' v1")
    assert installation.command("worker", APP, "--until-idle").code == 0


@pytest.fixture
def two_graphs(postgres: str, tmp_path: Path) -> Iterator[list[Any]]:
    """Two workers started at the same moment, with different graphs of one version."""
    installation = Installation(folder=tmp_path, settings={"AMENDS_STORE": postgres, "AMENDS_LEASE": "1s"})
    installation.ledger.mkdir()
    installation.ok("init")
    with (
        installation.running("worker", APP) as one,
        installation.running("worker", APP, settings={"SAGA_TODAY": "renamed step"}) as other,
    ):
        yield [one, other]


@pytest.mark.timeout(120)
def test_of_two_workers_with_different_graphs_of_one_version_one_is_refused(two_graphs: list[Any]) -> None:
    wait_until(lambda: any(not each.alive for each in two_graphs), within_s=25, what="one ends")
    (refused,) = (each for each in two_graphs if not each.alive)
    (other,) = (each for each in two_graphs if each is not refused)
    assert refused.process.returncode == 2
    assert "error AM3001: saga 'trip' v1 has another graph" in refused.text
    other.says("worker_started")
    assert other.alive


def runs(installation: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = installation.json("runs", "list")
    return found


def shown(installation: Installation) -> dict[str, dict[str, Any]]:
    """`runs show` of every run."""
    return {row["idempotency_key"]: installation.json("runs", "show", row["saga_id"]) for row in runs(installation)}


def told(installation: Installation) -> set[tuple[str, str]]:
    """Which runs wait, and for what, as `runs list` and `runs show` say."""
    return {(key, facts["waiting_for"]) for key, facts in shown(installation).items() if facts["status"] == "waiting"}


def ends(installation: Installation) -> dict[str, str]:
    return {row["idempotency_key"]: row["status"] for row in runs(installation)}


def over(installation: Installation) -> set[str]:
    return {row["idempotency_key"] for row in runs(installation) if row["ended_at"] is not None}


def keys(waiting: set[tuple[str, str]]) -> set[str]:
    return {key for key, _ in waiting}
