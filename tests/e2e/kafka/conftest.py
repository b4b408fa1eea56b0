"""Installations on real servers, and the exported schemas."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.kafka.installation import ORDERS, Installation, ledger_installation
from tests.e2e.kafka.senders import send, send_by_kcat
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import new_database

Send = Callable[[str, str, bytes, Mapping[str, str]], object]


@pytest.fixture(scope="module")
def on_postgres(kafka: str, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Give one on Kafka and PostgreSQL, its topics made; nothing of it runs."""
    with new_database(postgres_server) as url:
        yield _made(tmp_path_factory.mktemp("amends"), url, kafka)


@pytest.fixture(scope="module")
def on_sqlite(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Give one on Kafka and SQLite, its topics made; nothing of it runs."""
    folder = tmp_path_factory.mktemp("amends")
    return _made(folder, f"sqlite:///{folder}/amends.db", kafka)


@pytest.fixture(scope="module")
def schemas(on_sqlite: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that `amends schemas export` has written."""
    folder = tmp_path_factory.mktemp("schemas")
    on_sqlite.run("schemas", "export", folder)
    return folder


@pytest.fixture
def ledger(request: pytest.FixtureRequest, own_kafka: KafkaServer, tmp_path: Path) -> Installation:
    """Give one for the ledger's saga on the store that the test names, with a broker that the test may stop."""
    on_postgres = request.param == "PostgreSQL"
    store = request.getfixturevalue("postgres") if on_postgres else f"sqlite:///{tmp_path}/amends.db"
    return ledger_installation(tmp_path, store, own_kafka.address)


@pytest.fixture(params=["kcat", "confluent-kafka"])
def sender(request: pytest.FixtureRequest) -> Send:
    """Give what sends a record: address, topic, value, headers. Whoever asks for it is run with both clients."""
    if request.param == "kcat":
        return partial(send_by_kcat, request.getfixturevalue("kcat"))
    return send


@pytest.fixture
def number() -> str:
    """Give what makes an order this test's own."""
    return uuid.uuid4().hex[:8]


def _made(folder: Path, store: str, address: str) -> Installation:
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    made = Installation(folder=folder, store=store, bus=f"kafka://{address}", prefix=prefix)
    made.run("topics", "create", ORDERS, "--partitions", 3)
    return made
