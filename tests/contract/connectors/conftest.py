import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from amends.coordinator.loop_resources import close_all
from tests.contract.connectors.books import BOOKS, MAILBOX, URL
from tests.contract.connectors.databases import Database, sqlite_in
from tests.contract.connectors.processes import participant

MAIL_PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def http_url() -> Iterator[str]:
    """Give the address of a participant behind HTTP; connectors find it in the environment."""
    with participant("http_participant.py") as ready, pytest.MonkeyPatch.context() as patched:
        BOOKS.url = f"http://127.0.0.1:{ready['port']}"
        patched.setenv(URL, BOOKS.url)
        yield BOOKS.url


@pytest.fixture(scope="session")
def mail_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Give the ports of a mail server; connectors find them, its certificate and its password in the environment."""
    folder = tmp_path_factory.mktemp("mail")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)
    with (
        participant("mail_participant.py", str(certificate), str(key), MAIL_PASSWORD) as ready,
        pytest.MonkeyPatch.context() as patched,
    ):
        MAILBOX.url = f"http://127.0.0.1:{ready['http']}"
        patched.setenv("AMENDS_TEST_MAILBOX", MAILBOX.url)
        patched.setenv("AMENDS_TEST_MAIL_PASSWORD", MAIL_PASSWORD)
        patched.setenv("AMENDS_TEST_MAIL_CA", str(certificate))
        for name in ("open", "secured"):
            patched.setenv(f"AMENDS_TEST_MAIL_{name.upper()}", str(ready[name]))
        yield ready


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
