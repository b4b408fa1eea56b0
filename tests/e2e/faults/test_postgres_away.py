"""PostgreSQL that is away, silent, or does not let us in: commands say so at once, workers wait and resume."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.faults.installation import BOOKINGS, Installation, ended
from tests.servers.postgres import PostgresServer, new_database

pytestmark = pytest.mark.timeout(120)

TRIGGER = ("--json", '{"id": "A-9"}')
COMMANDS = [
    pytest.param(("runs", "list"), id="runs list"),
    pytest.param(("publish", "bookings", *TRIGGER), id="publish"),
    pytest.param(("store", "migrate"), id="migrate"),
    pytest.param(("audit", "verify", "--all"), id="verify"),
]
SETTINGS = {"AMENDS_LEASE": "1s", "AMENDS_SHARDS": "2"}
COUNT = 15
CONNECT_WITHIN_S = 15.0


@pytest.fixture
def on_postgres(folder: Path, postgres: str) -> Installation:
    return Installation(folder=folder, settings={**SETTINGS, "AMENDS_STORE": postgres})


@pytest.fixture
def on_own(folder: Path, own_postgres: PostgresServer) -> Iterator[Installation]:
    with new_database(own_postgres.url) as url:
        yield Installation(folder=folder, settings={**SETTINGS, "AMENDS_STORE": url})


def elsewhere(url: str, **parts: str) -> dict[str, str]:
    """The store's setting with another password, user or database in it."""
    found = urlsplit(url)
    login = f"{parts.get('user', found.username)}:{parts.get('password', found.password)}"
    netloc = f"{login}@{parts.get('place', f'{found.hostname}:{found.port}')}"
    return {"AMENDS_STORE": found._replace(netloc=netloc, path=parts.get("path", found.path)).geturl()}


WRONG = [
    pytest.param({"password": "guessed-wrong"}, "AM0302", id="password"),
    pytest.param({"user": "nobody_we_know"}, "AM0302", id="user"),
    pytest.param({"path": "/no_such_database"}, "AM0303", id="database"),
]


@pytest.mark.parametrize(("parts", "code"), WRONG)
@pytest.mark.parametrize("command", [("worker", BOOKINGS), ("runs", "list")], ids=" ".join)
def test_a_wrong_login_ends_the_command_and_shows_no_password(
    on_postgres: Installation, command: tuple[str, ...], parts: dict[str, str], code: str
) -> None:
    on_postgres.publish("bookings", {"id": "A-1"})
    with on_postgres.unchanged():
        done = on_postgres.command(*command, settings=elsewhere(on_postgres.store, **parts))
        done.refused(2, code)
    assert "guessed-wrong" not in done.err
    assert str(urlsplit(on_postgres.store).password) not in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_not_there_ends_a_command_at_once(on_postgres: Installation, command: tuple[str, ...]) -> None:
    settings = elsewhere(on_postgres.store, place="127.0.0.1:1")
    on_postgres.command(*command, settings=settings).refused(2, "AM0301", "127.0.0.1:1")


@pytest.mark.parametrize("command", [("worker", BOOKINGS), ("runs", "list"), ("publish", "bookings", *TRIGGER)])
def test_a_store_of_a_newer_version_is_left_alone(on_postgres: Installation, command: tuple[str, ...]) -> None:
    on_postgres.publish("bookings", {"id": "A-1"})
    on_postgres.write("UPDATE store SET version = 99")
    with on_postgres.unchanged():
        on_postgres.command(*command).refused(2, "AM0304", "99")


def test_a_worker_waits_for_the_server_and_resumes_when_it_is_back(
    on_own: Installation, own_postgres: PostgresServer
) -> None:
    own_postgres.stop()
    with on_own.running("worker", BOOKINGS) as worker:
        waits = worker.says("waiting", text="AM0301", count=3)
        assert [each["again_in_s"] for each in waits[:3]] == [0.2, 0.4, 0.8]
        own_postgres.start()
        worker.says("shards_gained")
        on_own.publish("bookings", *({"id": f"A-{number}"} for number in range(COUNT)))
        ended(on_own, COUNT)
        with worker.frozen():
            on_own.publish("bookings", *({"id": f"B-{number}"} for number in range(COUNT)))
            own_postgres.kill()
        worker.says("leases_not_renewed", text="AM0301")
        on_own.command("runs", "list").refused(2, "AM0301")
        own_postgres.start()
        ended(on_own, 2 * COUNT)
        assert worker.stop() == 0
    assert set(on_own.effects().values()) == {1}
    assert {each["status"] for each in on_own.outcomes().values()} == {"completed"}
    assert on_own.json("audit", "verify", "--all")["ok"] is True


def test_a_server_that_goes_silent_is_not_waited_for_without_end(
    on_own: Installation, own_postgres: PostgresServer
) -> None:
    on_own.publish("bookings", {"id": "A-1"})
    with on_own.running("worker", BOOKINGS) as worker:
        ended(on_own, 1)
        own_postgres.freeze()
        on_own.command("runs", "list", within_s=CONNECT_WITHIN_S).refused(2, "AM0301")
        own_postgres.thaw()
        on_own.publish("bookings", {"id": "A-2"})
        ended(on_own, 2)
        own_postgres.freeze()
        on_own.command("runs", "list", within_s=CONNECT_WITHIN_S).refused(2, "AM0301")
        assert worker.stop() == 0, "by now all of it waits for an answer"
        own_postgres.thaw()
    assert set(on_own.effects().values()) == {1}


def test_a_worker_that_waits_for_the_server_can_be_stopped(folder: Path) -> None:
    nowhere = Installation(folder=folder, settings={"AMENDS_STORE": "postgresql://u:p@127.0.0.1:1/db"})
    with nowhere.running("worker", BOOKINGS) as worker:
        worker.says("waiting", text="AM0301")
        assert worker.stop() == 0
