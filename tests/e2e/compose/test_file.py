"""compose.yaml says what the code says: images, ports, settings, commands, secrets, what the image is made from."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import psycopg
import pytest
from typer.main import get_command

import amends
from amends.coordinator.cli.groups import APP
from amends.coordinator.cli.main import COMMANDS
from amends.coordinator.config import NAMES
from amends.coordinator.config import load as load_settings
from tests.e2e.compose.compose_file import FILE, Service, in_order, load, seconds, secret_file
from tests.servers import tools
from tests.servers.tools import CHECKOUT

COMPOSE = load()
SERVICES: dict[str, Service] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("amends:")}
STOPS_WITHIN_S = 5
POM = "{http://maven.apache.org/POM/4.0.0}"


def test_the_services_are_a_broker_a_database_their_making_two_workers_and_a_relay() -> None:
    assert set(SERVICES) == {"kafka", "postgres", "init", "worker", "relay"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_the_images_are_of_the_versions_that_the_tests_run() -> None:
    pom = ET.parse(tools.POM).getroot()
    kafka = next(
        each.findtext(f"{POM}version")
        for each in pom.iter(f"{POM}dependency")
        if each.findtext(f"{POM}artifactId") == "kafka_2.13"
    )
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka}"
    assert SERVICES["postgres"]["image"] == f"postgres:{tools.POSTGRES_MIN}"
    assert {service["image"] for service in OURS.values()} == {f"amends:{amends.__version__}"}
    python = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    bases = re.findall(r"^FROM (\S+)", (CHECKOUT / "deploy/Containerfile").read_text(), re.MULTILINE)
    assert set(bases) == {f"docker.io/library/python:{python}-slim"}


def test_the_tests_run_no_older_database_than_the_image(postgres: str) -> None:
    with psycopg.connect(postgres) as connection:
        assert connection.info.server_version // 10_000 >= tools.POSTGRES_MIN


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one_that_amends_knows(name: str) -> None:
    given = settings_in(OURS[name])
    assert set(given) <= set(NAMES)
    assert load_settings(given).settings.kafka is not None


@pytest.mark.parametrize("name", OURS)
def test_store_and_bus_are_the_services_at_their_own_ports(name: str) -> None:
    settings = load_settings(settings_in(OURS[name])).settings
    listeners = dict(
        each.split("://") for each in environment(SERVICES["kafka"])["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )
    made = environment(SERVICES["postgres"])
    reference = secret_file("store_password")
    assert settings.bus == f"kafka://{listeners['INTERNAL']}"
    assert settings.store == (
        f"postgresql://{made['POSTGRES_USER']}:${{file:{reference}}}@postgres:5432/{made['POSTGRES_DB']}"
    )
    assert made["POSTGRES_PASSWORD_FILE"] == reference
    assert listeners["INTERNAL"].partition(":")[0] in SERVICES


def test_what_is_published_of_kafka_is_what_it_tells_its_clients() -> None:
    listeners = dict(
        each.split("://") for each in environment(SERVICES["kafka"])["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )
    host, port = listeners["HOST"].split(":")
    assert SERVICES["kafka"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert host == "localhost"


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_a_secret_is_named_and_never_written_down() -> None:
    assert [list(secret) for secret in COMPOSE["secrets"].values()] == [["environment"]]
    for service in SERVICES.values():
        held = {secret_file(name) for name in service.get("secrets", ())}
        for variable, value in environment(service).items():
            assert set(re.findall(r"/run/secrets/\w+", value)) <= held
            assert variable.endswith("_FILE") or "PASSWORD" not in variable
            assert not urlsplit(re.sub(r"\$\{[^}]*\}", "", value)).password


def test_who_waits_for_health_waits_for_a_service_that_tells_it() -> None:
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            told = "healthcheck" in SERVICES[name]
            assert wait["condition"] == ("service_healthy" if told else "service_completed_successfully")
    assert in_order(SERVICES)[:2] in (["kafka", "postgres"], ["postgres", "kafka"])
    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == ["init"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_given_more_time_to_end_than_it_takes(name: str) -> None:
    assert seconds(OURS[name]["stop_grace_period"]) > STOPS_WITHIN_S


def test_every_command_is_one_of_the_command_line() -> None:
    assert COMMANDS
    lines = [line for service in SERVICES.values() for line in commands_of(service)]
    lines += re.findall(r"^#.*? (amends .*)$", FILE.read_text(), re.MULTILINE)
    named = [shlex.split(line) for line in lines]
    assert [line for line in named if not is_command(line)] == []
    assert len(named) >= 8


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_that_is_mounted_is_there(service: str) -> None:
    sources = [each.partition(":")[0] for each in SERVICES[service].get("volumes", ())]
    volumes = set(COMPOSE["volumes"])
    assert [each for each in sources if each not in volumes and not (CHECKOUT / each).exists()] == []


@pytest.mark.timeout(120)
def test_the_image_is_built_from_enough_to_make_the_whole_wheel(tmp_path: Path) -> None:
    """What the ignore file lets through, built as the Containerfile builds it."""
    context = tmp_path / "context"
    for line in (CHECKOUT / "deploy/Containerfile.dockerignore").read_text().splitlines():
        if line.startswith("!"):
            copy(CHECKOUT / line[1:], context / line[1:])
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        f"{tmp_path}/wheels",
        str(context),
    ]
    subprocess.run(command, check=True, timeout=100, capture_output=True)
    with zipfile.ZipFile(next((tmp_path / "wheels").glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if name.endswith(".py")}
    folders = ("compensations", "connectors", "coordinator", "examples", "schemas")
    expected = {
        f"amends/{path.relative_to(CHECKOUT)}" for folder in folders for path in (CHECKOUT / folder).rglob("*.py")
    }
    assert expected <= held
    needed = re.findall(r"--requirement (\S+)", (CHECKOUT / "deploy/Containerfile").read_text())
    assert sorted(needed) == sorted(str(path.relative_to(context)) for path in (context / "requirements").iterdir())


def settings_in(service: Service) -> dict[str, str]:
    found = environment(service)
    return {name[len("AMENDS_") :].lower(): value for name, value in found.items() if name.startswith("AMENDS_")}


def environment(service: Service) -> dict[str, str]:
    return dict(service.get("environment", {}))


def commands_of(service: Service) -> list[str]:
    """Lines that begin with `amends`, of the command and of the healthcheck."""
    words: list[list[str]] = [service.get("command", []), service.get("healthcheck", {}).get("test", [])[1:]]
    lines = [each[-1] if each[:2] == ["sh", "-ec"] else shlex.join(each) for each in words]
    return [part.strip() for line in lines for part in line.split(";") if part.strip().startswith("amends ")]


def is_command(words: list[str]) -> bool:
    """Whether the words lead to a command, and each of its options is known there."""
    found: Any = get_command(APP)
    rest = words[1:]
    while hasattr(found, "commands") and rest and rest[0] in found.commands:
        found, rest = found.commands[rest[0]], rest[1:]
    if hasattr(found, "commands"):
        return False
    known = {option for parameter in found.params for option in parameter.opts}
    return all(word in known for word in rest if word.startswith("--"))


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
