from collections.abc import AsyncIterator, Iterator

import pytest

from amends.coordinator.loop_resources import close_all
from tests.contract.connectors.books import BOOKS, URL
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
