"""A real server in a process of its own, which does not outlive the session that started it."""

import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from tests.servers.ports import free_ports
from tests.servers.waiting import wait_until


class ServerFailed(Exception):
    """A server did not start, or ended by itself. The message ends with the tail of its log."""


class LocalServer(ABC):
    """Start, stop, kill, freeze, and start again on the same ports and data. As a context manager: started and stopped.

    `outlives_us` is for servers that a developer starts by hand; all others are ended by the kernel when we die.
    """

    name: ClassVar[str]
    ports_needed: ClassVar[int] = 1
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[str] = "KILL"
    user: ClassVar[str | None] = None

    def __init__(self, folder: Path, *, outlives_us: bool = False) -> None:
        self.folder = folder
        self.outlives_us = outlives_us
        self.ports = free_ports(self.ports_needed)
        self.log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._was_ready = False

    @abstractmethod
    def prepare(self) -> None:
        """Write what the server reads at its start. Called before every start."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def start(self, *, within_s: float = 40) -> None:
        """Return when the server answers. The very first start is tried twice: its ports may have been taken."""
        assert not self.running, f"{self.name} runs already"
        try:
            self._launch(within_s)
        except ServerFailed:
            if self._was_ready:
                raise
            self.ports = free_ports(self.ports_needed)
            self._launch(within_s)
        self._was_ready = True

    def stop(self, *, within_s: float = 30) -> None:
        """Ask it to end and wait until it has. A stopped server may be stopped again."""
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            msg = f"{self.name} did not stop within {within_s:g} s and was killed\n{self.log_tail()}"
            raise ServerFailed(msg) from None

    def kill(self) -> None:
        """End it and its children with SIGKILL, as a crash of its machine would, and wait until all are gone."""
        family = self._signal_all(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
        wait_until(lambda: not any(map(_is_alive, family)), within_s=10, what=f"{self.name} is gone after SIGKILL")

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open, nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on. One that is not frozen does not notice."""
        self._signal_all(signal.SIGCONT)

    def log_tail(self, lines: int = 30) -> str:
        """Return what it said last."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _launch(self, within_s: float) -> None:
        self.prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrapper(), *self.command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests: their fixtures then stop the servers in order
            )
        try:
            wait_until(lambda: not self.running or self.is_ready(), within_s=within_s, what=f"{self.name} is ready")
        except TimeoutError as error:
            self.kill()
            msg = f"{error}\n{self.log_tail()}"
            raise ServerFailed(msg) from None
        if not self.running:
            msg = f"{self.name} ended with status {self._process.returncode}\n{self.log_tail()}"
            raise ServerFailed(msg)

    def _wrapper(self) -> list[str]:
        """It becomes the server (same pid), as another user, and has it signalled when the starting thread ends."""
        become = as_user(self.user)
        if self.outlives_us or not (setpriv := shutil.which("setpriv")):
            return become
        return [*(become[:-1] or [setpriv]), "--pdeathsig", self.death_signal, "--"]

    def _signal_all(self, number: signal.Signals) -> list[int]:
        if not self.running:
            return []
        family = [self.pid, *children_of(self.pid)]
        for pid in family:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return family


def as_user(user: str | None) -> list[str]:
    """Return what to put before a command so that root runs it as `user`; nothing when we are not root."""
    if user is None or os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"]


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
