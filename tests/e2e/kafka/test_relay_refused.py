"""A relay that cannot be of use says so at once and ends."""

import pytest

from tests.e2e.kafka.installation import ORDERS, Installation, wait_for
from tests.integration.kafka.clients import create_topic

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def without_topics(kafka: str, postgres: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Give one on Kafka and PostgreSQL whose topics nobody has made."""
    made = Installation(folder=tmp_path_factory.mktemp("amends"), store=postgres, bus=f"kafka://{kafka}", prefix=prefix)
    made.run("store", "migrate")
    return made


@pytest.mark.parametrize(
    "command", [pytest.param(("relay",), id="a relay"), pytest.param(("worker", ORDERS, "--with-relay"), id="a worker")]
)
def test_missing_topics_are_named_at_the_start(without_topics: Installation, command: tuple[str, ...]) -> None:
    create_topic(without_topics.address, without_topics.orders)
    create_topic(without_topics.address, without_topics.notices)
    said = without_topics.run(*command, code=2, within_s=20, stderr=True)
    own = without_topics.own
    names = f"{own.audit}, {own.outcomes}, {own.dead_letters}"
    assert f"error AM4104: {names} do not exist in Kafka at {without_topics.address}" in said
    assert f"amends topics create {own.audit} {own.outcomes} {own.dead_letters}" in said


def test_with_sqlite_the_worker_carries_the_relay(on_sqlite: Installation) -> None:
    said = on_sqlite.run("relay", code=2, stderr=True)
    assert "error AM5020: with SQLite the worker carries the relay" in said


def test_a_relay_that_is_stopped_ends_in_order(on_postgres: Installation) -> None:
    with on_postgres.started("relay", "relay"):
        wait_for(lambda: "relay_shards_gained" in on_postgres.log_of("relay"), "it works")
    assert "relay_stopped" in on_postgres.log_of("relay")
    assert "error" not in on_postgres.log_of("relay")
