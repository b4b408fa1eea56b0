"""compose.yaml without containers: the same commands, variables and checks, as processes against local servers.

What differs is where things are: hosts, ports, the secret's file and the mounted folders. `Stack.here` puts those in
place of the ones in the file, and nothing else.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from tests.e2e.compose.compose_file import Service, in_order, seconds, secret_file
from tests.servers import tools
from tests.servers.fixtures import kafka_server, postgres_server_of_its_own
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.tools import CHECKOUT

OF_A_PLACE = {
    "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    "KAFKA_INTER_BROKER_LISTENER_NAME", "KAFKA_CONTROLLER_LISTENER_NAMES", "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_LOG_DIRS",
}  # fmt: skip
"""Settings of the broker that name hosts, ports and folders of the container."""


@dataclass(kw_only=True)
class Stack:
    """The services that run."""

    services: Mapping[str, Service]
    folder: Path
    exits: ExitStack
    kafka: KafkaServer | None = None
    postgres: PostgresServer | None = None
    processes: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    def up(self) -> None:
        """Start each service as soon as those it depends on are as it wants them."""
        for name in in_order(self.services):
            for other, wait in self.services[name].get("depends_on", {}).items():
                if wait["condition"] == "service_healthy":
                    self.wait_until_healthy(other)
                else:
                    assert self.ended(other) == 0, self.log(other)
            self.start(name)

    def start(self, name: str) -> None:
        """The image's program: a server of ours in its place, or the command itself."""
        service = self.services[name]
        match name:
            case "kafka":
                self.kafka = self.exits.enter_context(kafka_server(settings=broker_settings(service)))
            case "postgres":
                self.postgres = self.exits.enter_context(postgres_server_of_its_own())
                self.as_the_image_does(self.postgres, service)
            case _:
                count = service.get("deploy", {}).get("replicas", 1)
                self.processes[name] = [self.run(name, service["command"]) for _ in range(count)]

    def run(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        """One process of a service, as `docker compose exec` starts it too; killed in the end at the latest."""
        with self.log_file(name).open("ab") as log:
            process = subprocess.Popen(
                [self.here(word) for word in command],
                cwd=self.working_folder(name),
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it is told to end by nobody but us
            )
        self.exits.callback(process.wait, 10)
        self.exits.callback(process.kill)
        return process

    def healthy(self, name: str) -> bool:
        """What one run of the healthcheck says."""
        check = self.services[name]["healthcheck"]
        kind, *command = check["test"]
        assert kind == "CMD"
        process = self.run(name, command)
        try:
            return process.wait(seconds(check["timeout"])) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            return False

    def wait_until_healthy(self, name: str) -> None:
        """As long as Compose would look before it gives up."""
        check = self.services[name]["healthcheck"]
        until = time.monotonic() + seconds(check["start_period"]) + check["retries"] * seconds(check["interval"])
        while not self.healthy(name):
            assert time.monotonic() < until, f"{name} is not healthy\n{self.log(name)}"
            time.sleep(0.2)

    def ended(self, name: str) -> int:
        """The exit code of a service that ends by itself."""
        (process,) = self.processes[name]
        return process.wait(60)

    def down(self) -> dict[str, set[int]]:
        """Stop our services in the other order, each within its time; their exit codes."""
        codes = {}
        for name in reversed(in_order(self.services)):
            running = self.processes.pop(name, [])
            for process in running:
                process.send_signal(signal.SIGTERM)
            grace_s = seconds(self.services[name].get("stop_grace_period", "10s"))
            codes[name] = {process.wait(grace_s) for process in running}
        return {name: each for name, each in codes.items() if each}

    def here(self, text: str) -> str:
        """The text with this machine's places in it."""
        places = {secret_file("store_password"): str(self.folder / "secret")}
        if self.kafka is not None:
            places |= {"kafka:9092": self.kafka.address, "127.0.0.1/9092": self.kafka.address.replace(":", "/")}
        if self.postgres is not None:
            places |= {"postgres:5432": f"127.0.0.1:{self.postgres.ports[0]}"}
        for there, place in places.items():
            text = text.replace(there, place)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """What the image has, then what the file gives the service."""
        programs = [str(Path(sys.executable).parent), str(tools.postgres_bin()), os.environ["PATH"]]
        given = self.services[name].get("environment", {})
        port = {"PGPORT": str(self.postgres.ports[0])} if self.postgres is not None else {}
        return {
            "PATH": os.pathsep.join(programs),
            "PYTHONUNBUFFERED": "1",
            **port,
            **{variable: self.here(value) for variable, value in given.items()},
        }

    def working_folder(self, name: str) -> Path:
        """The image's /srv, with what is mounted there."""
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            for source, target in mounts(self.services[name]):
                if target.startswith("/srv/"):
                    (folder / target.removeprefix("/srv/")).symlink_to(CHECKOUT / source)
        return folder

    def as_the_image_does(self, server: PostgresServer, service: Service) -> None:
        """PostgreSQL's image makes the user and the database, then runs what stands in its folder, once."""
        made = service["environment"]
        assert made["POSTGRES_USER"] in server.url, "the server of the tests has the same user"
        (self.folder / "secret").write_text(server.password + "\n")
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(made["POSTGRES_DB"])))
        url = server.url.replace("/postgres", f"/{made['POSTGRES_DB']}")
        scripts = [source for source, target in mounts(service) if target.startswith("/docker-entrypoint-initdb.d/")]
        for script in sorted(scripts):
            psql = [
                f"{tools.postgres_bin()}/psql",
                "--no-psqlrc",
                "--set=ON_ERROR_STOP=1",
                f"--file={CHECKOUT / script}",
            ]
            subprocess.run([*psql, url], check=True, timeout=30, capture_output=True)

    def log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def log(self, name: str) -> str:
        """What the service said last."""
        return self.log_file(name).read_text(errors="replace")[-3_000:]


@contextmanager
def stack(services: Mapping[str, Service], folder: Path) -> Iterator[Stack]:
    """A stack of which nothing runs yet, and nothing is left in the end."""
    assert shutil.which("bash"), "the broker's healthcheck is one of bash"
    with ExitStack() as exits:
        yield Stack(services=services, folder=folder, exits=exits)


def mounts(service: Service) -> list[tuple[str, str]]:
    """Source and target of each volume."""
    return [(source, target) for source, target, *_ in (each.split(":") for each in service.get("volumes", ()))]


def broker_settings(service: Service) -> dict[str, str]:
    """The broker's own settings, as its image makes them of KAFKA_… variables."""
    return {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value
        for name, value in service["environment"].items()
        if name not in OF_A_PLACE
    }
