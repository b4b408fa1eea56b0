"""Starts the shop's participants as processes of their own, and knows their addresses."""

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_WITHIN_S = 15
END_WITHIN_S = 5


class ParticipantDidNotStart(Exception):
    """A participant ended, or stayed silent, before it was ready."""

    def __init__(self, name: str, log: Path) -> None:
        super().__init__(f"{name} was not ready within {READY_WITHIN_S} s: {log} says why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A participant's process; `addresses` is its ready line: `url`, and for mail `smtp_host` and `smtp_port`."""

    name: str
    process: subprocess.Popen[str]
    addresses: dict[str, Any]

    @property
    def url(self) -> str:
        """The base URL of its HTTP side."""
        return str(self.addresses["url"])

    def stop(self) -> int:
        """Ask it to end, and return its exit code; after 5 s it is killed."""
        with self.process:  # Closes its pipes in the end.
            self.process.terminate()
            try:
                return self.process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                return self.process.wait()

    def kill(self) -> int:
        """End it with SIGKILL, as a crash would."""
        with self.process:
            self.process.kill()
            return self.process.wait()


@contextmanager
def participants(data: Path, *names: str) -> Iterator[dict[str, Running]]:
    """Run these participants side by side, with their files in `data`, until the block ends."""
    with ExitStack() as stack:
        starting = {name: begin(name, data) for name in names}
        for process in starting.values():
            stack.callback(_end, process)
        yield {name: ready(name, process, data) for name, process in starting.items()}


def begin(name: str, data: Path, arguments: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start `payments` or `mail`, without waiting for it. It ends with this process, and leaves Ctrl-C to it."""
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"amends.examples.shop.{name}", "--data", str(data), *arguments]
    with _log(name, data).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )


def ready(name: str, process: subprocess.Popen[str], data: Path) -> Running:
    """Wait for the ready line. Raises ParticipantDidNotStart."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN_S)
    line = process.stdout.readline() if readable else ""
    if not line:
        with process:
            process.kill()
        raise ParticipantDidNotStart(name, _log(name, data))
    return Running(name=name, process=process, addresses=json.loads(line))


def _end(process: subprocess.Popen[str]) -> None:
    with process:
        process.terminate()


def _log(name: str, data: Path) -> Path:
    return data / f"{name}.log"
