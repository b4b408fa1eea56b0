"""Kafka that is away, or does not let us in: commands say so at once, workers wait and resume by themselves."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.e2e.faults.installation import BOOKINGS, Installation, ended
from tests.integration.kafka.clients import create_topic, produce
from tests.servers.kafka import KafkaServer
from tests.servers.secured_kafka import SecuredKafkaServer
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

TRIGGER = ("--json", '{"id": "A-9"}')
COUNT = 15
HUGE_BYTES = 100_000_000


@pytest.fixture
def installation(installation: Installation, own_kafka: KafkaServer) -> Installation:
    """On a broker of its own, with all its topics."""
    made = Installation(folder=installation.folder, settings={"AMENDS_BUS": f"kafka://{own_kafka.address}"})
    made.ok("store", "migrate")
    made.ok("topics", "create", BOOKINGS, "--partitions", "2")
    return made


def records(address: str, topic: str) -> int:
    """How many records a topic holds."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "counts"})
    try:
        found = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in found]
        return sum(high for _, high in ends)
    finally:
        consumer.close()


def test_a_worker_waits_for_the_broker_and_resumes_when_it_is_back(
    installation: Installation, own_kafka: KafkaServer
) -> None:
    own_kafka.stop()
    with installation.running("worker", BOOKINGS) as worker:
        worker.says("bus_unavailable", text="AM4101", count=2)
        with installation.unchanged():
            for command in (("publish", "bookings", *TRIGGER), ("topics", "check"), ("topics", "tail", "bookings")):
                installation.command(*command).refused(2, "AM4101", own_kafka.address)
        own_kafka.start()
        worker.says("bus_is_back")
        installation.publish("bookings", *({"id": f"A-{number}"} for number in range(COUNT)))
        ended(installation, COUNT)
        outcomes_are(own_kafka, COUNT)
        own_kafka.kill()
        installation.command("publish", "bookings", *TRIGGER).refused(2, "AM4101")
        own_kafka.start()
        installation.publish("bookings", *({"id": f"B-{number}"} for number in range(COUNT)))
        ended(installation, 2 * COUNT)
        outcomes_are(own_kafka, 2 * COUNT)
        assert worker.stop() == 0
    assert set(installation.effects().values()) == {1}
    assert installation.count("runs", "status = 'completed'") == 2 * COUNT
    assert records(own_kafka.address, "amends.outcomes") == records(own_kafka.address, "bookings") == 2 * COUNT
    assert installation.json("audit", "verify", "--all", "--from-topic")["ok"] is True


def outcomes_are(server: KafkaServer, count: int) -> None:
    wait_until(
        lambda: records(server.address, "amends.outcomes") >= count,
        within_s=25,
        what=f"{count} outcomes are published",
        poll_s=0.1,
    )


def test_a_worker_that_waits_for_the_broker_can_be_stopped(installation: Installation, own_kafka: KafkaServer) -> None:
    own_kafka.stop()
    with installation.running("worker", BOOKINGS) as worker:
        worker.says("bus_unavailable", text="AM4101")
        assert worker.stop() == 0


def test_a_topic_that_is_missing_is_named(installation: Installation, own_kafka: KafkaServer) -> None:
    with installation.unchanged():
        installation.command("publish", "no-such-topic", *TRIGGER).refused(2, "AM4104", "no-such-topic")
        installation.command("topics", "tail", "no-such-topic").refused(6, "AM5040", "no-such-topic")
        settings = {"AMENDS_TOPIC_PREFIX": "other"}
        installation.command("worker", BOOKINGS, settings=settings).refused(2, "AM4104", "other.outcomes")


def test_a_record_of_100_mb_is_a_dead_letter_and_the_next_one_a_run(
    installation: Installation, own_kafka: KafkaServer
) -> None:
    settings = {"max.message.bytes": str(HUGE_BYTES + 1_000)}
    create_topic(own_kafka.address, "threads-2", settings=settings)
    app = installation.folder / "app.py"
    app.write_text(Path(BOOKINGS).read_text().replace('Topic("threads"', 'Topic("threads-2"'))
    huge = b'{"id": "huge", "how": "' + b"x" * (HUGE_BYTES - 100) + b'"}'
    produce(own_kafka.address, "threads-2", [b'{"id": "before"}'])
    produce(own_kafka.address, "threads-2", [huge, b'{"id": "after"}'], **{"message.max.bytes": str(HUGE_BYTES)})
    with installation.running("worker", "app.py", "--until-idle") as worker:
        assert worker.ends(within_s=60).code == 0, worker.text
    (letter,) = installation.dead_letters()
    assert (letter["reason"], letter["offset"], letter["size_bytes"]) == ("too_large", 1, len(huge))
    assert set(installation.outcomes()) == {"before", "after"}
    assert installation.effects() == {("before", "carry"): 1, ("after", "carry"): 1}


@pytest.fixture
def secured(folder: Path, secured_kafka: SecuredKafkaServer) -> Installation:
    """On a broker behind TLS and a login, with what is right for it."""
    return Installation(
        folder=folder,
        settings={
            "AMENDS_BUS": f"kafka://{secured_kafka.address}",
            "AMENDS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "AMENDS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
            "AMENDS_KAFKA_USER": secured_kafka.user_name,
            "AMENDS_KAFKA_PASSWORD": "${env:SECRET}",
            "SECRET": secured_kafka.password,
            "AMENDS_KAFKA_CA_FILE": str(secured_kafka.ca_file),
        },
    )


WRONG = [
    pytest.param({"SECRET": "guessed-wrong"}, "AM4102", id="password"),
    pytest.param({"AMENDS_KAFKA_USER": "mallory"}, "AM4102", id="user"),
    pytest.param({"AMENDS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}, "AM4102", id="mechanism"),
    pytest.param({"AMENDS_KAFKA_CA_FILE": ""}, "AM4103", id="authority"),
]


@pytest.mark.parametrize(("settings", "code"), WRONG)
@pytest.mark.parametrize("command", [("worker", BOOKINGS), ("publish", "bookings", *TRIGGER)], ids=lambda each: each[0])
def test_a_wrong_login_ends_the_command_and_shows_no_password(
    secured: Installation, command: tuple[str, ...], settings: dict[str, str], code: str
) -> None:
    secured.ok("store", "migrate")
    with secured.unchanged():
        done = secured.command(*command, settings=settings)
        done.refused(2, code)
    assert "guessed-wrong" not in done.err
    assert secured.settings["SECRET"] not in done.err
