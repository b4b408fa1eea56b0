"""Real servers for tests: shared ones for the session, and own ones for tests that stop or kill theirs."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.servers import tools
from tests.servers.folders import scratch_folder
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer, new_database
from tests.servers.schema_registry import SchemaRegistryServer
from tests.servers.secured_kafka import SecuredKafkaServer

MARKED_BY = {
    "kafka": {"kafka", "own_kafka", "secured_kafka"},
    "postgres": {"postgres_server", "postgres", "own_postgres"},
}
"""Who asks for one of these fixtures gets the marker, so that `pytest -m "not kafka"` works."""


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Give `host:port` of a broker that the session shares: make your topics yourself, under a `prefix`."""
    if given := os.environ.get("AMENDS_TEST_KAFKA"):
        yield given
        return
    with kafka_server() as server:
        yield server.address


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """Give a running broker that this test may stop, kill, freeze and start again."""
    with kafka_server() as server:
        yield server


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[SecuredKafkaServer]:
    """Give a broker behind TLS that lets only its `user_name` in; the session shares it."""
    _skip_unless(tools.java, tools.kafka_lib)
    with scratch_folder("kafka") as folder, SecuredKafkaServer(folder) as server:
        yield server


@pytest.fixture(scope="session")
def schema_registry() -> Iterator[str]:
    """Give the URL of a schema registry that the session shares."""
    _skip_unless(tools.java, tools.schema_registry_jar)
    with scratch_folder("schema-registry") as folder, SchemaRegistryServer(folder) as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the URL of a server that the session shares, as a superuser. Most tests want `postgres`."""
    if given := os.environ.get("AMENDS_TEST_POSTGRES"):
        yield given
        return
    with postgres_server_of_its_own() as server:
        yield server.url


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """Give the URL of an empty database, dropped after the test."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """Give a running server that this test may stop, kill, freeze and start again."""
    with postgres_server_of_its_own() as server:
        yield server


@pytest.fixture
def kcat() -> str:
    """Give the path of kcat, a Kafka client that has nothing of ours."""
    _skip_unless(tools.kcat)
    return tools.kcat()


@pytest.fixture
def prefix() -> str:
    """Give what makes names on a shared server this test's own."""
    return f"t{uuid.uuid4().hex[:8]}-"


@contextmanager
def kafka_server(**options: object) -> Iterator[KafkaServer]:
    """Run a broker with `options` of KafkaServer; skip the test where that cannot be."""
    _skip_unless(tools.java, tools.kafka_lib)
    with scratch_folder("kafka") as folder, KafkaServer(folder, **options) as server:  # type: ignore[arg-type]
        yield server


@contextmanager
def postgres_server_of_its_own(**options: object) -> Iterator[PostgresServer]:
    """Run a PostgreSQL server with `options` of PostgresServer; skip the test where that cannot be."""
    _skip_unless(tools.postgres_bin)
    with scratch_folder("postgres") as folder, PostgresServer(folder, **options) as server:  # type: ignore[arg-type]
        yield server


def _skip_unless(*finds: Callable[[], object]) -> None:
    try:
        for find in finds:
            find()
    except tools.Missing as missing:
        pytest.skip(f"{missing}; to run it: make servers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, fixtures in MARKED_BY.items():
            if fixtures.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(marker)
