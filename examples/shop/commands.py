"""The `amends` commands of the demo: each one is shown, run with the demo's settings, and must succeed."""

import ctypes
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from amends.coordinator.cli.logs import logging_kept
from amends.coordinator.errors import FoundFault

END_WITHIN_S = 10
PR_SET_PDEATHSIG = 1
INTERRUPTS = {signal.SIGINT, signal.SIGTERM}


class CommandFailed(FoundFault):
    """A command of the demo did not end as it should have."""

    def __init__(self, command: str, what: str, *, do: str = "run it yourself: the data is as it was left") -> None:
        super().__init__("AM6004", f"`{command}` {what}", do=do)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amends:
    """`options` are the settings as flags; `environment` is what the saga's addresses refer to.

    `place` are the fewest options that lead a person to the same settings.
    """

    options: tuple[str, ...]
    place: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path

    def shown(self, *arguments: str) -> str:
        """The command as a scene shows it: without the place, which all commands share."""
        return shlex.join(["amends", *arguments])

    def typed(self, *arguments: str) -> str:
        """The command as a person can type it in the working folder."""
        return shlex.join([*program(), *arguments, *self.place])

    def text(self, *arguments: str) -> str:
        """Run a command in this process, which saves its start, and return what it prints."""
        said, complained = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with _uninterrupted(), logging_kept(), redirect_stdout(said), redirect_stderr(complained):
            from amends.coordinator.cli.main import run  # noqa: PLC0415  the participants can use the time it takes

            code = run([*arguments, *self.options, "--log", "error"])
            said.flush()
        if code:
            raise CommandFailed(self.typed(*arguments), _ended_with(code, complained.getvalue()))
        said.seek(0)
        return said.read()

    def json(self, *arguments: str) -> Any:  # noqa: ANN401  the contract says what is in it
        """The same for its JSON."""
        return json.loads(self.text(*arguments, "-o", "json"))

    @contextmanager
    def worker(self, app: Path) -> Iterator["WorkerProcess"]:
        """Start a worker that ends when all is done; it is gone when the block ends, whatever happened."""
        arguments = ["worker", str(app), "--until-idle"]
        with ExitStack() as stack:
            log = stack.enter_context(self.log.open("ab"))
            with _uninterrupted():  # A fork calls back, too.
                process = subprocess.Popen(
                    [sys.executable, "-m", "amends", *arguments, *self.options],
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=partial(_in_the_child, os.getpid()),  # noqa: PLW1509  no threads here
                )
            stack.callback(_end, process)
            yield WorkerProcess(process=process, command=self.shown(*arguments), log=self.log)

    def _environment(self) -> dict[str, str]:
        """The process's own, without settings that were meant for another installation."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}
        return {**kept, **self.environment}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcess:
    """A running worker."""

    process: "subprocess.Popen[bytes]"
    command: str
    log: Path

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """End it as a crash would: with SIGKILL, in the middle of whatever it does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait(self, *, within_s: float) -> None:
        """Wait until all is done. Raises `CommandFailed` if it ends otherwise, or not in time."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise self.failed(f"was not idle within {within_s:.0f} s") from None
        if code:
            raise self.failed(f"ended with {code}")

    def failed(self, what: str) -> CommandFailed:
        return CommandFailed(self.command, what, do=f"read {self.log}, then start the demo again")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block ends: in its middle it might meet a callback that cannot raise, and be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def program() -> list[str]:
    """How to call `amends` here: by its name if the shell finds this one, else by its path."""
    beside = Path(sys.executable).with_name("amends")
    found = shutil.which("amends")
    if found is not None and Path(found).resolve() == beside.resolve():
        return ["amends"]
    return [short(beside)] if beside.exists() else [short(Path(sys.executable)), "-m", "amends"]


def short(path: Path) -> str:
    """A path as short as the working folder allows; links in it stay."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _ended_with(code: int, said: str) -> str:
    last = said.strip().splitlines()[-1:]
    return f"ended with {code}{': ' if last else ''}{''.join(last)}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _in_the_child(demo: int) -> None:
    """Be ended when the demo is, even if that is killed; and hear Ctrl-C again."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != demo:  # It was killed before we asked to be told.
            os.kill(os.getpid(), signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
