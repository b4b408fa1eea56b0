"""SASL and TLS: what is right works, what is wrong is named, and no password is ever said."""

import logging
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from amends.connectors.kafka.admin import KafkaAdmin
from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.sink import KafkaSink
from amends.connectors.kafka.source import KafkaSource
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.bus import Outgoing
from tests.integration.kafka.clients import polled
from tests.servers import tools
from tests.servers.folders import scratch_folder
from tests.servers.kafka import KafkaServer
from tests.servers.ports import LOOPBACK

pytestmark = pytest.mark.kafka

PASSWORD = "s3cret-of-bob"
WRONG = "wr0ng-of-bob"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for 127.0.0.1, in one PEM file; it is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    pem = folder / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=amends-test"),
            *("-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", str(folder / "key"), "-out", str(folder / "crt")),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    pem.write_bytes((folder / "key").read_bytes() + (folder / "crt").read_bytes())
    return pem


class SecureKafka(KafkaServer):
    """Speaks SASL over TLS only, by PLAIN and by SCRAM."""

    certificate: Path

    def prepare(self) -> None:
        clients, controller = self.ports
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        self.settings |= {
            "listeners": f"SASL_SSL://{LOOPBACK}:{clients},CONTROLLER://{LOOPBACK}:{controller}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'{plain} username="bob" password="{PASSWORD}" user_bob="{PASSWORD}";'
            ),
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{scram};",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificate),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificate),
        }
        super().prepare()


@pytest.fixture(scope="module")
def secure(certificate: Path) -> Iterator[SecureKafka]:
    try:
        tools.java()
        tools.kafka_lib()
    except tools.Missing as missing:
        pytest.skip(f"{missing}; to run it: make servers")
    with scratch_folder("kafka") as folder:
        server = SecureKafka(folder)
        server.certificate = certificate
        with server:
            yield server


def settings(server: SecureKafka, **changes: object) -> KafkaSettings:
    wanted = {
        "bootstrap": server.address,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "user": "bob",
        "password": PASSWORD,
        "ca_file": server.certificate,
    }
    return KafkaSettings(**wanted | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_right_login_publishes_and_reads(secure: SecureKafka, prefix: str, mechanism: str) -> None:
    if mechanism != "PLAIN":
        add_scram_user(secure)
    login = settings(secure, sasl_mechanism=mechanism)
    topic = f"{prefix}orders"
    async with KafkaAdmin.connected(login) as admin:
        await admin.create(topic, partitions=1, replication=1)
    sink, source = KafkaSink(login), KafkaSource(login, group=Group(name=prefix))
    await sink.start()
    await source.start([topic])
    try:
        await sink.publish([Outgoing(topic=topic, key=b"k", value=b"v")])
        assert [each.value for each in await polled(source, 1)] == [b"v"]
    finally:
        await sink.stop()
        await source.stop()


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        pytest.param({"password": WRONG}, "AM4102", "refused user 'bob' by PLAIN", id="a wrong password"),
        pytest.param({"user": "eve", "password": WRONG}, "AM4102", "refused user 'eve'", id="an unknown user"),
        pytest.param({"sasl_mechanism": "SCRAM-SHA-512"}, "AM4102", "SCRAM-SHA-512", id="a mechanism it has not"),
        pytest.param(
            {"sasl_mechanism": "SCRAM-SHA-256", "password": WRONG},
            "AM4102",
            "refused user 'bob'",
            id="a wrong SCRAM proof",
        ),
        pytest.param({"ca_file": None}, "AM4103", "certificate", id="an unknown authority"),
    ],
)
async def test_a_wrong_login_is_a_usage_error_that_names_the_cause(
    secure: SecureKafka, caplog: pytest.LogCaptureFixture, changes: dict[str, object], code: str, said: str
) -> None:
    caplog.set_level(logging.DEBUG)
    login = settings(secure, **changes)
    source, sink = KafkaSource(login, group=Group(name="g")), KafkaSink(login)
    starts: list[Callable[[], Awaitable[None]]] = [lambda: source.start(["orders"]), sink.start]
    for start in starts:
        with pytest.raises(UsageError, match=said) as raised:
            await start()
        assert raised.value.code == code
        for secret in (PASSWORD, WRONG):
            assert secret not in str(raised.value)
            assert secret not in repr(login)
            assert secret not in caplog.text


def add_scram_user(server: SecureKafka) -> None:
    admin = AdminClient(
        {
            "bootstrap.servers": server.address,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "bob",
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(server.certificate),
        }
    )
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    wish = UserScramCredentialUpsertion("bob", credential, PASSWORD.encode())
    for done in admin.alter_user_scram_credentials([wish]).values():
        done.result(20)
