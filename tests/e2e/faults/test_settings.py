"""A broken configuration is refused at once, names the setting and where its value came from, and changes nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.faults.installation import BOOKINGS, Installation

TRIGGER = ("--json", '{"id": "A-9"}')
COMMANDS = [
    pytest.param(("worker", BOOKINGS), id="worker"),
    pytest.param(("dev", BOOKINGS), id="dev"),
    pytest.param(("relay",), id="relay"),
    pytest.param(("publish", "bookings", *TRIGGER), id="publish"),
    pytest.param(("runs", "list"), id="runs list"),
    pytest.param(("store", "migrate"), id="store migrate"),
]

FILES = [
    pytest.param(b"namespace = ", "AM5002", "not TOML", id="no TOML"),
    pytest.param(b'namespace = "\xff"', "AM5002", "amends.toml", id="no UTF-8"),
    pytest.param(bytes(range(256)) * 100, "AM5002", "amends.toml", id="binary garbage"),
    pytest.param(b"a = " + b"[" * 100_000, "AM5002", "amends.toml", id="nested too deep"),
    pytest.param(b'namespcae = "x"', "AM5003", "did you mean 'namespace'", id="unknown key"),
    pytest.param(b'[kafka]\nuser = "x"', "AM5003", "'kafka'", id="a table"),
    pytest.param(b'in_flight = "many"', "AM5001", "amends.toml", id="no number"),
    pytest.param(b"in_flight = 0", "AM5001", "amends.toml", id="too small"),
    pytest.param(b"data = 17", "AM5001", "amends.toml", id="another type"),
    pytest.param(b'lease = "1 fortnight"', "AM5001", "amends.toml", id="no duration"),
    pytest.param(b'lease = "1ms"', "AM5001", "between 1s and 1h", id="too short"),
    pytest.param(b'bus = "rabbitmq://here"', "AM5001", "kafka://", id="unknown bus"),
    pytest.param(b'log = "loud"', "AM5001", "amends.toml", id="unknown level"),
    pytest.param(b'namespace = "a/b"', "AM5001", "letters, digits", id="no name"),
]

ENVIRONMENTS = [
    pytest.param({"AMENDS_IN_FLIGHT": "-1"}, "AM5001", "environment AMENDS_IN_FLIGHT", id="negative"),
    pytest.param({"AMENDS_SHARDS": "100000"}, "AM5001", "environment AMENDS_SHARDS", id="too many shards"),
    pytest.param({"AMENDS_BUILD": "\udcff"}, "AM5001", "not UTF-8", id="no text"),
    pytest.param({"AMENDS_TOPIC_FORMAT": "xml"}, "AM5001", "environment AMENDS_TOPIC_FORMAT", id="unknown format"),
    pytest.param({"AMENDS_SCHEMA_REGISTRY": "here"}, "AM5001", "http://", id="no URL"),
    pytest.param({"AMENDS_BUS": "kafka://"}, "AM5001", "kafka://HOST:PORT", id="no host"),
    pytest.param({"AMENDS_STORE": "mysql://here/there"}, "AM0313", "postgresql", id="unknown store"),
    pytest.param({"AMENDS_STORE": "sqlite://"}, "AM0313", "sqlite", id="no path"),
    pytest.param({"AMENDS_STORE": "postgresql://u@127.0.0.1:port/db"}, "AM0313", "port", id="no port"),
]

KAFKA = {"AMENDS_BUS": "kafka://127.0.0.1:1"}
SASL = {**KAFKA, "AMENDS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "AMENDS_KAFKA_SASL_MECHANISM": "PLAIN"}
TLS = {**KAFKA, "AMENDS_KAFKA_SECURITY_PROTOCOL": "SSL"}
KAFKAS = [
    pytest.param({**KAFKA, "AMENDS_KAFKA_PASSWORD": "hunter2"}, "AM5001", "${env:NAME}", id="a password written down"),
    pytest.param(
        {**SASL, "AMENDS_KAFKA_USER": "u", "AMENDS_KAFKA_PASSWORD": "${env:NOT_SET}"}, "AM2002", "NOT_SET", id="unset"
    ),
    pytest.param(
        {**SASL, "AMENDS_KAFKA_USER": "u", "AMENDS_KAFKA_PASSWORD": "${file:/none}"}, "AM2002", "/none", id="no file"
    ),
    pytest.param({**SASL}, "AM4105", "AMENDS_KAFKA_USER", id="SASL without user"),
    pytest.param({**KAFKA, "AMENDS_KAFKA_SECURITY_PROTOCOL": "SSLv2"}, "AM4105", "SSLv2", id="unknown protocol"),
    pytest.param({**TLS, "AMENDS_KAFKA_CA_FILE": "/none"}, "AM4105", "/none", id="no CA file"),
    pytest.param({"AMENDS_BUS": "kafka://here"}, "AM4105", "here", id="no port"),
    pytest.param({"AMENDS_BUS": "kafka://:9092"}, "AM4105", ":9092", id="no host"),
]


@pytest.mark.parametrize(("content", "code", "says"), FILES)
def test_a_broken_file_is_refused(used: Installation, content: bytes, code: str, says: str) -> None:
    (used.folder / "amends.toml").write_bytes(content)
    with used.unchanged():
        used.command("worker", BOOKINGS, "--until-idle").refused(2, code, says)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_broken_file(used: Installation, command: Sequence[str]) -> None:
    (used.folder / "amends.toml").write_text('namespcae = "x"\n')
    with used.unchanged():
        used.command(*command).refused(2, "AM5003", "namespcae")


@pytest.mark.parametrize(("settings", "code", "says"), ENVIRONMENTS)
def test_a_broken_variable_is_refused(used: Installation, settings: Mapping[str, str], code: str, says: str) -> None:
    with used.unchanged():
        used.command("worker", BOOKINGS, "--until-idle", settings=settings).refused(2, code, says)


@pytest.mark.parametrize(("settings", "code", "says"), KAFKAS)
def test_broken_settings_of_kafka_are_refused_before_anything_is_read(
    used: Installation, settings: Mapping[str, str], code: str, says: str
) -> None:
    with used.unchanged():
        done = used.command("worker", BOOKINGS, "--until-idle", settings=settings)
        done.refused(2, code, says)
    assert "hunter2" not in done.err


def test_a_file_that_is_named_must_be_there(used: Installation) -> None:
    with used.unchanged():
        used.command("worker", BOOKINGS, "--config", "none.toml").refused(2, "AM5002", "none.toml")
        used.command("worker", BOOKINGS, "--config", used.folder).refused(2, "AM5002", "directory")


def test_a_flag_is_held_to_the_same_rules(used: Installation) -> None:
    with used.unchanged():
        used.command("worker", BOOKINGS, "--lease", "0").refused(2, "AM5001", "flag --lease")


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.id != "relay"])
def test_a_data_folder_that_is_a_file_is_named(installation: Installation, command: Sequence[str]) -> None:
    taken = installation.folder / "taken"
    taken.write_text("mine")
    installation.command(*command, "--data", "taken").refused(2, "AM0314", "taken")
    assert taken.read_text() == "mine"
    assert {each.name for each in installation.folder.iterdir()} == {"ledger", "taken"}


def test_a_refused_configuration_makes_no_store(installation: Installation, tmp_path: Path) -> None:
    installation.command("worker", BOOKINGS, "--in-flight", "none").refused(2, "AM5001", "none")
    assert not (tmp_path / ".amends").exists()
