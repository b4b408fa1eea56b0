"""Starts the demo as a person would, in a folder of its own, and looks at what it leaves."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FOLDER = ".amends-demo"
PLAYED_WITHIN_S = 150
GONE_WITHIN_S = 10.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A demo that has ended: its exit code, what it printed, and the folder it was started in."""

    code: int
    said: str
    complained: str
    cwd: Path

    @property
    def data(self) -> Path:
        return self.cwd / FOLDER

    @property
    def shop(self) -> Path:
        return self.data / "shop"

    def has(self, *parts: str) -> bool:
        """Whether one of its lines holds all of these."""
        return any(all(part in line for part in parts) for line in self.said.splitlines())


def play(cwd: Path, **environment: str) -> Played:
    """Run the demo to its end."""
    done = subprocess.run(
        COMMAND,
        cwd=cwd,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PLAYED_WITHIN_S,
        check=False,
    )
    return Played(code=done.returncode, said=done.stdout, complained=done.stderr, cwd=cwd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Playing:
    """A demo under way; `process` leads a group of its own, as a shell's foreground job does."""

    process: "subprocess.Popen[str]"
    stdout: IO[str]
    heard: list[str]
    cwd: Path

    def until(self, words: str) -> None:
        """Read what it prints until a line holds these words."""
        for line in self.stdout:
            self.heard.append(line)
            if words in line:
                return
        raise AssertionError(f"the demo ended without saying {words!r}:\n{''.join(self.heard)}")

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal tells everyone in the foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> Played:
        """Read it to its end."""
        said, complained = self.process.communicate(timeout=PLAYED_WITHIN_S)
        return Played(
            code=self.process.returncode, said="".join(self.heard) + said, complained=complained, cwd=self.cwd
        )


@contextmanager
def playing(cwd: Path, **environment: str) -> Iterator[Playing]:
    """Run the demo beside the test; it is gone when the block ends."""
    with subprocess.Popen(
        COMMAND,
        cwd=cwd,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Playing(process=process, stdout=process.stdout, heard=[], cwd=cwd)
        finally:
            if process.poll() is None:
                process.kill()


def left_running(cwd: Path) -> list[str]:
    """The commands of the processes that still work in this folder, after a moment to end."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while (found := _working_in(cwd)) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return found


def change(database: Path, statement: str) -> None:
    """Change a participant's row behind everybody's back."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        assert connection.execute(statement).rowcount == 1
        connection.commit()


def select(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


COMMAND = [sys.executable, "-m", "amends", "demo", "shop"]


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """No settings but the given ones; and `amends` is found by its name, as in an activated environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AMENDS_", "SHOP_", "COLUMNS"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, **given}


def _working_in(cwd: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(cwd):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # It has ended meanwhile, or is another user's.
            continue
    return [command for command in found if command]  # A process that has ended and was not collected has none.
