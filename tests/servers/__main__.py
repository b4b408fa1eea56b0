"""`python -m tests.servers COMMAND`: servers for a developer, as `make servers` starts them."""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TypedDict

from tests.servers import tools
from tests.servers.folders import PREFIX
from tests.servers.install import fetch_kafka, install
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.server import LocalServer, ServerFailed
from tests.servers.waiting import wait_until

STATE = tools.CACHE / "servers.json"


class Running(TypedDict):
    """What is written down of a server that was started by hand."""

    pid: int
    folder: str
    address: str
    stop_signal: int


def main() -> int:
    """Return the exit code: 0, or 2 when something is missing that only you can install."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("command", choices=("fetch", "install", "start", "stop", "status"))
    command = parser.parse_args().command
    try:
        if command == "fetch":
            fetch_kafka()
        if command in {"install", "start"}:
            install()
        if command == "start":
            start()
        if command == "stop":
            stop()
    except (tools.Missing, ServerFailed) as error:
        print(error, file=sys.stderr)
        return 2
    if command in {"start", "stop", "status"}:
        print(report())
    return 0


def start() -> None:
    """Start those of the two that do not run."""
    state = running()
    if "kafka" not in state:
        kafka = KafkaServer(_empty_folder("kafka"), outlives_us=True)
        kafka.start()
        _remember("kafka", kafka, kafka.address)
    if "postgres" not in state:
        postgres = PostgresServer(_empty_folder("postgres"), outlives_us=True)
        postgres.start()
        _remember("postgres", postgres, postgres.url)


def stop() -> None:
    """Stop what `start` started, and remove its data."""
    for name, server in running().items():
        os.kill(server["pid"], server["stop_signal"])
        wait_until(lambda server=server: not _runs(server), within_s=30, what=f"{name} has ended")  # type: ignore[misc]
        shutil.rmtree(server["folder"])
    STATE.unlink(missing_ok=True)


def report() -> str:
    """Return how to reach the servers, as lines for a shell."""
    state = running()
    if not state:
        return "# no server of ours runs; to start them: make servers"
    addresses = {name: server["address"] for name, server in state.items()}
    lines = ["# these run until `make servers-stop`"]
    lines += [f"export AMENDS_TEST_{name.upper()}={address}" for name, address in addresses.items()]
    if addresses.keys() == {"kafka", "postgres"}:
        lines.append(f"# make demo KAFKA={addresses['kafka']} DATABASE={addresses['postgres']}")
    return "\n".join(lines)


def running() -> dict[str, Running]:
    """Return the servers of this checkout that were started by hand and still run."""
    if not STATE.exists():
        return {}
    state: dict[str, Running] = json.loads(STATE.read_text())
    return {name: server for name, server in state.items() if _runs(server)}


def _runs(server: Running) -> bool:
    try:
        return server["folder"] in Path(f"/proc/{server['pid']}/cmdline").read_text()  # the pid may be another's by now
    except (FileNotFoundError, ProcessLookupError):
        return False


def _empty_folder(name: str) -> Path:
    checkout = hashlib.sha256(str(tools.CHECKOUT).encode()).hexdigest()[:8]
    folder = Path(tempfile.gettempdir()) / f"{PREFIX}{name}-{checkout}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o711)
    return folder


def _remember(name: str, server: LocalServer, address: str) -> None:
    entry = Running(
        pid=server.pid, folder=str(server.folder), address=address, stop_signal=int(signal.Signals(server.stop_signal))
    )
    STATE.parent.mkdir(exist_ok=True)
    STATE.write_text(json.dumps({**running(), name: entry}, indent=2))


if __name__ == "__main__":
    sys.exit(main())
