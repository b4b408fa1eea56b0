"""The servers of the tests are real, come back after a crash, and die with the session that started them."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.helpers import create_ssl_context
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from tests.servers.fixtures import kafka_server, postgres_server_of_its_own
from tests.servers.folders import scratch_folder
from tests.servers.install import archive_classes
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.secured_kafka import SecuredKafkaServer
from tests.servers.server import LocalServer, ServerFailed
from tests.servers.tools import CHECKOUT
from tests.servers.waiting import wait_until


async def test_a_record_survives_a_killed_broker(own_kafka: KafkaServer) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka.address)
    await admin.start()
    await admin.create_topics([NewTopic("topic", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=own_kafka.address, acks="all")
    await producer.start()
    await producer.send_and_wait("topic", b"kept")
    await producer.stop()

    address = own_kafka.address
    own_kafka.kill()
    own_kafka.start()

    assert own_kafka.address == address
    consumer = AIOKafkaConsumer(
        "topic", bootstrap_servers=address, group_id="group", auto_offset_reset="earliest", session_timeout_ms=1500
    )
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert record.value == b"kept"


@pytest.mark.timeout(180)
def test_a_broker_s_classes_are_archived_for_those_that_start_later(kafka: str, tmp_path: Path) -> None:
    assert kafka
    archive_classes(tmp_path / "classes.jsa", within_s=80)
    assert [each.name for each in tmp_path.iterdir()] == ["classes.jsa"]


def test_where_that_takes_too_long_everything_goes_on_without_and_one_line_says_so(
    kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kafka
    archive_classes(tmp_path / "classes.jsa", within_s=0.1)
    assert list(tmp_path.iterdir()) == []
    assert re.fullmatch(
        r"archiving Kafka's classes\nthey were not archived, so that brokers start slower: .*\n",
        capsys.readouterr().out,
    )


def test_a_row_survives_a_killed_database_server(own_postgres: PostgresServer) -> None:
    with psycopg.connect(own_postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    url = own_postgres.url
    own_postgres.kill()
    own_postgres.start()
    assert own_postgres.url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]


def test_each_test_has_an_empty_database(postgres: str, postgres_server: str) -> None:
    with psycopg.connect(postgres) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)
    assert postgres != postgres_server


def test_a_wrong_password_is_refused(postgres: str) -> None:
    user, _, rest = postgres.rpartition("@")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{user.rpartition(':')[0]}:wrong@{rest}")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_secured_broker_knows_its_user_and_no_other(mechanism: str, secured_kafka: SecuredKafkaServer) -> None:
    def login(password: str) -> dict[str, Any]:
        return {
            "security_protocol": "SASL_SSL",
            "ssl_context": create_ssl_context(cafile=secured_kafka.ca_file),
            "sasl_mechanism": mechanism,
            "sasl_plain_username": secured_kafka.user_name,
            "sasl_plain_password": password,
        }

    known = AIOKafkaAdminClient(bootstrap_servers=secured_kafka.address, **login(secured_kafka.password))
    await known.start()
    try:
        assert (await known.describe_cluster())["brokers"]
    finally:
        await known.close()
    # No client: one that is refused at its start does not wait for the end of TLS, and leaves its socket to the loop.
    host, _, port = secured_kafka.address.rpartition(":")
    stranger = AIOKafkaConnection(host, int(port), **login("wrong"))
    with pytest.raises(SaslAuthenticationFailed):
        await stranger.connect()
    await asyncio.wait_for(stranger.close(), timeout=10)


def test_the_schema_registry_gives_one_schema_one_id(schema_registry: str, prefix: str) -> None:
    schema = Schema('{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}', "AVRO")
    with SchemaRegistryClient({"url": schema_registry}) as client:
        number = client.register_schema(f"{prefix}orders", schema)
        assert client.register_schema(f"{prefix}orders", schema) == number
        assert json.loads(client.get_schema(number).schema_str or "")["name"] == "Order"


SERVERS = [pytest.param(kafka_server, id="kafka"), pytest.param(postgres_server_of_its_own, id="postgres")]


@pytest.mark.parametrize("run", SERVERS)
def test_a_frozen_server_thaws_and_still_stops(run: Callable[[], AbstractContextManager[LocalServer]]) -> None:
    with run() as server:
        server.freeze()
        assert server.running
        server.stop()
        assert not server.running


@pytest.mark.parametrize("run", SERVERS)
def test_a_server_that_cannot_start_says_why(run: Callable[..., AbstractContextManager[LocalServer]]) -> None:
    with (
        pytest.raises(ServerFailed, match=r"(?s)ended with status.*(fsync|cleaner)"),
        run(settings={"log.cleaner.enable": "no_such_value", "fsync": "no_such_value"}),
    ):
        pass


ONE_SERVER_AND_A_KILL = """
import os, signal
from tests.servers import fixtures
with fixtures.{run}() as server:
    print(server.pid, server.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("run", ["kafka_server", "postgres_server_of_its_own"])
def test_a_killed_session_leaves_no_server_and_no_folder(
    run: str, request: pytest.FixtureRequest, kafka: str, postgres: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", ONE_SERVER_AND_A_KILL.format(run=run)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    pid, folder = killed.stdout.split()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), within_s=10, what="the server has ended")
    with scratch_folder("other"):  # as the next session does
        assert not Path(folder).exists()
