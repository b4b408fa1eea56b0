"""A worker that is told to stop: no new work, a bounded time for handlers, the rest in doubt, gone within 5 s."""

import signal
import time
from pathlib import Path

import pytest

from tests.e2e.faults.installation import STOPS_WITHIN_S, Installation, Running
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(120)  # processes that start and end, several in a test

APP = str(Path(__file__).with_name("stopping_app.py"))
HANDLERS_MAY_TAKE_S = 3.0
INTERRUPTED = 130


@pytest.fixture(params=["sqlite"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    url = {"AMENDS_STORE": request.getfixturevalue("postgres")} if request.param == "postgresql" else {}
    made = Installation(folder=tmp_path, settings={"AMENDS_LEASE": "2s", **url})
    made.ledger.mkdir()
    return made


def asked(installation: Installation, worker: Running, **booking: object) -> None:
    """A run's slow handler is at work."""
    installation.publish("bookings", booking)
    wait_until(
        lambda: not worker.alive or (str(booking["id"]), "asked") in installation.effects(),
        within_s=25,
        what="the handler is at work",
    )
    assert worker.alive, worker.text


def stopped(worker: Running, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
    """Exit code, and how long it took."""
    began = time.monotonic()
    worker.process.send_signal(number)
    return worker.process.wait(STOPS_WITHIN_S), time.monotonic() - began


both_signals = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, INTERRUPTED)], ids=["TERM", "INT"]
)


@both_signals
@pytest.mark.parametrize("command", ["worker", "dev"])
def test_one_that_has_not_begun_yet_stops_as_well(
    installation: Installation, command: str, number: signal.Signals, code: int
) -> None:
    with installation.running(command, APP, settings={"PYTHONPROFILEIMPORTTIME": "1"}) as worker:
        wait_until(lambda: " typer." in worker.text, within_s=25, what="Amends is being imported")
        ended, _ = stopped(worker, number)
    assert (ended, "Traceback" in worker.text) == (code, False)


@both_signals
def test_an_idle_worker_stops_at_once(installation: Installation, number: signal.Signals, code: int) -> None:
    with installation.running("worker", APP) as worker:
        worker.says("shards_gained")
        ended, took_s = stopped(worker, number)
    assert ended == code
    assert took_s < HANDLERS_MAY_TAKE_S
    worker.says("worker_stopped")


@pytest.mark.parametrize("how", ["awaits", "thread"])
def test_a_handler_that_ends_in_time_is_heard(installation: Installation, how: str) -> None:
    with installation.running("worker", APP) as worker:
        asked(installation, worker, id="B-1", how=how, within_s=1)
        code, took_s = stopped(worker)
        assert (code, took_s < STOPS_WITHIN_S) == (0, True)
    assert installation.effects()["B-1", "slow"] == 1
    done = "slow" if how == "awaits" else "threaded"
    assert [event["type"] for event in events(installation, "B-1") if event.get("path") == done][-1] == "StepSucceeded"


@pytest.mark.parametrize(
    ("installation", "how"),
    [
        pytest.param("sqlite", "awaits", id="it awaits"),
        pytest.param("sqlite", "thread", id="it is in a thread"),
        pytest.param("sqlite", "blocks", id="it blocks its loop"),
        pytest.param("postgresql", "awaits", id="on PostgreSQL", marks=pytest.mark.postgres),
    ],
    indirect=["installation"],
)
def test_a_handler_that_does_not_end_stays_in_doubt_and_is_asked_again_under_its_key(
    installation: Installation, how: str
) -> None:
    with installation.running("worker", APP) as worker:
        asked(installation, worker, id="B-1", how=how)
        installation.publish("bookings", {"id": "B-2"})
        code, took_s = stopped(worker)
        assert code == 0, worker.text
        assert HANDLERS_MAY_TAKE_S - 0.5 < took_s < STOPS_WITHIN_S
    step = "threaded" if how == "thread" else "slow"
    told = [event["type"] for event in events(installation, "B-1") if event.get("path") == step]
    assert told[-1] in {"StepRequested", "StepInDoubt"}, "nobody claims to know"
    assert installation.json("audit", "verify", "--all")["ok"]

    (installation.folder / "released").touch()
    again = installation.command("worker", APP, "--until-idle")
    assert again.code == 0, again
    assert {key: each["status"] for key, each in installation.outcomes().items()} == dict.fromkeys(
        ("B-1", "B-2"), "completed"
    )
    keys = {file.name for file in installation.ledger.iterdir() if file.name.startswith("B-1 asked ")}
    assert len(keys) == 1, "the same request, under the same key"
    assert installation.effects()["B-1", "slow"] == 1


def test_a_stopping_worker_begins_nothing_new(installation: Installation) -> None:
    with installation.running("worker", APP) as worker:
        asked(installation, worker, id="B-1")
        worker.process.send_signal(signal.SIGTERM)
        installation.publish("bookings", *({"id": f"B-{number}"} for number in range(2, 30)))
        assert worker.process.wait(STOPS_WITHIN_S) == 0
    begun = {booking for booking, _ in installation.effects()}
    assert len(begun) < 29
    assert installation.count("runs") == len(begun), "what was admitted was begun, and nothing else"


def test_a_second_interrupt_ends_the_process_at_once_and_nothing_is_lost(installation: Installation) -> None:
    with installation.running("worker", APP) as worker:
        asked(installation, worker, id="B-1")
        began = time.monotonic()
        worker.process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # two signals at once are one
        worker.process.send_signal(signal.SIGINT)
        assert worker.process.wait(STOPS_WITHIN_S) == INTERRUPTED
        assert time.monotonic() - began < HANDLERS_MAY_TAKE_S
    (installation.folder / "released").touch()
    assert installation.command("worker", APP, "--until-idle").code == 0
    assert installation.outcomes()["B-1"]["status"] == "completed"
    assert installation.effects()["B-1", "slow"] == 1


@pytest.mark.postgres
def test_a_worker_that_stops_gives_its_shards_back_at_once(postgres: str, tmp_path: Path) -> None:
    installation = Installation(folder=tmp_path, settings={"AMENDS_STORE": postgres, "AMENDS_LEASE": "1h"})
    installation.ledger.mkdir()
    with installation.running("worker", APP) as worker:
        worker.says("shards_gained")
        assert stopped(worker)[0] == 0
    assert installation.rows("SELECT DISTINCT owner FROM shards") == [(None,)]


def events(installation: Installation, key: str) -> list[dict[str, object]]:
    lines = installation.json("runs", "events", f"booking/{key}")
    return list(lines)
