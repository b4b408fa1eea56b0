from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from amends.coordinator.loop_resources import close_all
from tests.contract.connectors.books import BOOKS, URL
from tests.contract.connectors.databases import Database, sqlite_in
from tests.contract.connectors.processes import participant


@pytest.fixture(scope="session")
def http_url() -> Iterator[str]:
    """Give the address of a participant behind HTTP; connectors find it in the environment."""
    with participant("http_participant.py") as ready, pytest.MonkeyPatch.context() as patched:
        BOOKS.url = f"http://127.0.0.1:{ready['port']}"
        patched.setenv(URL, BOOKS.url)
        yield BOOKS.url


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    """Close what connectors opened; a warning about an open connection is an error here."""
    yield
    await close_all()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Give a participant's database of each kind; connectors find it in the environment."""
    given = request.param == "postgres"
    found = Database(request.getfixturevalue("postgres")) if given else sqlite_in(tmp_path)
    monkeypatch.setenv("AMENDS_TEST_STOCK", found.url)
    return found
