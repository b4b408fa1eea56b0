"""Retention: what has ended long ago moves to bundles, verified first; the index stays, and the log still verifies."""

from pathlib import Path

import pytest

from amends.connectors.stores.sqlite import SqliteStore
from amends.coordinator.errors import Conflict
from amends.coordinator.evidence.archiving import Archiving
from tests.e2e.cli.conftest import REFUNDS, TOPIC, saga_id, trigger
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

NEVER = "2000-01-01T00:00:00Z"


def test_runs_that_have_ended_move_and_everything_still_verifies(played: Installation) -> None:
    runs = played.json("runs", "list")
    open_runs = {each["saga_id"] for each in runs if each["ended_at"] is None}
    run = saga_id(played, "R-1")
    replayed = played.json("replay", run)
    assert played.json("archive", "--before", NEVER) == {"runs": 0, "entries": 0, "files": [], "still_due": 0}

    done = played.json("archive", "--before", "0s", "--to", "kept")

    assert (done["runs"], len(done["files"])) == (len(runs) - len(open_runs), 1)
    (left,) = played.rows("SELECT count(*) FROM events")
    assert {run for (run,) in played.rows("SELECT DISTINCT originator_id FROM events")} == open_runs
    report = played.json("audit", "verify")
    assert (report["ok"], report["entries"]) == (True, left[0])
    assert f"{done['entries']} entries archived" in played.ok("audit", "verify")
    assert played.json("audit", "verify", run)["ok"]
    assert played.json("runs", "list") == runs, "the index of runs stays"

    bundle = done["files"][0]
    for command in (("replay", run), ("runs", "show", run), ("runs", "story", run)):
        played.command(*command).refused(6, "AM0340", Path(bundle).name)
    assert played.json("replay", run, "--bundle", bundle) == replayed
    assert played.command("forensics", "open", bundle).code == 0


def test_a_request_whose_run_was_archived_is_still_a_duplicate_and_work_goes_on(played: Installation) -> None:
    played.ok("archive", "--before", "0s")
    before = played.json("runs", "list")
    played.publish(TOPIC, trigger(1), trigger(40))
    played.ok("worker", REFUNDS, "--until-idle")

    after = {each["idempotency_key"]: each for each in played.json("runs", "list")}
    assert len(after) == len(before) + 1
    assert after["R-40"]["status"] == "completed"
    assert played.json("audit", "verify")["ok"]
    assert played.json("archive", "--before", "0s")["runs"] == 1
    assert played.json("audit", "verify")["ok"]
    assert played.json("archive", "--before", "0s")["runs"] == 0


def test_an_archive_that_was_written_and_not_yet_deleted_from_is_taken_up_again(
    played: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise Conflict("AM0000", "it dies here", do="begin again")

    store = SqliteStore(played.database)
    folder = played.folder / "kept"
    folder.mkdir()
    before = store.entries_from(0, after=0, limit=1_000)
    with monkeypatch.context() as at:
        at.setattr(SqliteStore, "archive", dies)
        with pytest.raises(Conflict):
            list(Archiving(store=store, folder=folder).move(store.now()))
    assert store.entries_from(0, after=0, limit=1_000) == before
    (file,) = folder.iterdir()
    written = file.read_bytes()

    (done,) = Archiving(store=store, folder=folder).move(store.now())
    store.close()
    assert (done.file, file.read_bytes()) == (file, written)
    assert played.json("audit", "verify")["ok"]


def test_a_log_that_does_not_verify_is_not_archived(played: Installation) -> None:
    run = saga_id(played, "R-1")
    played.write(f"UPDATE events SET state = replace(state, 'A-1', 'A-9') WHERE originator_id = '{run}'")
    entries = played.rows("SELECT count(*) FROM events")
    played.command("archive", "--before", "0s").refused(1, "AM0342", run, "nothing was deleted")
    assert played.rows("SELECT count(*) FROM events") == entries


def test_what_was_taken_from_the_archived_part_of_the_log_is_found(played: Installation) -> None:
    played.ok("archive", "--before", "0s")
    played.write("DELETE FROM archived WHERE position = 2")
    done = played.command("audit", "verify")
    assert (done.code, "position 2 is missing" in done.out) == (1, True)


def test_what_the_relay_has_not_published_is_not_archived(played: Installation) -> None:
    on_kafka = {"AMENDS_BUS": "kafka://127.0.0.1:1"}
    played.command("archive", "--before", "0s", settings=on_kafka).refused(7, "AM0343", "published up to 0")
