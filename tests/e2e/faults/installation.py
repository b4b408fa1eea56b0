"""An installation of Amends as a user has one: a folder, settings, the installed command; and what can be counted."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import psycopg

from tests.servers.waiting import wait_until

AMENDS: Final = str(Path(sys.executable).with_name("amends"))
"""The installed command."""
APPS: Final = Path(__file__).parent / "apps"
BOOKINGS: Final = str(APPS / "bookings.py")
WITHIN_S: Final = 25.0
STOPS_WITHIN_S: Final = 5.0
TABLES: Final = ("events", "runs", "dead_letters", "inbox", "duplicates", "records")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what went wrong."""
        (line,) = (line for line in self.err.splitlines() if line.startswith("error AM"))
        return line

    def refused(self, code: int, error: str, *says: str) -> None:
        """Hold it against exit code, AM code, and what the line must say; nothing else may be printed."""
        assert (self.code, self.error.partition(":")[0]) == (code, f"error {error}"), self
        assert "Traceback" not in self.err, self.err
        assert self.out == "", self.out
        for each in says:
            assert each in self.error


@dataclass(slots=True, kw_only=True)
class Running:
    """A command that stays. What it logs is read from a file."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of an event so far."""
        found = []
        for line in self.text.splitlines():
            with suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and said.get("event") == name:
                    found.append(said)
        return found

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def says(self, event: str, *, count: int = 1, text: str = "") -> list[dict[str, Any]]:
        """Wait until it has logged an event so often (with the text somewhere in the line)."""

        def heard() -> list[dict[str, Any]]:
            return [each for each in self.events(event) if text in json.dumps(each)]

        wait_until(
            lambda: len(heard()) >= count or not self.alive,
            within_s=WITHIN_S,
            what=f"{event} {text!r} {count} times in\n{self.text}",
        )
        assert len(heard()) >= count, f"it ended with {self.process.returncode}:\n{self.text}"
        return heard()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        yield
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; the exit code, which must come within 5 s."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOPS_WITHIN_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def ends(self, *, within_s: float = WITHIN_S) -> Done:
        """Wait until it ends by itself."""
        return Done(code=self.process.wait(within_s), out="", err=self.text)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Everything a test does to Amends, it does through `command`; what came of it, it reads where it is."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    wrapper: Sequence[str] = ()
    """Put before each command: who or what runs it."""

    @property
    def ledger(self) -> Path:
        """Where the participant of the apps here keeps its books."""
        return self.folder / "ledger"

    @property
    def store(self) -> str:
        return self.settings.get("AMENDS_STORE", f"sqlite:///{self.database}")

    @property
    def database(self) -> Path:
        """The embedded store's file."""
        return self.folder / ".amends" / "amends.db"

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the tests' own settings reaches a command."""
        own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {**own, "LEDGER": str(self.ledger), **self.settings, **settings}

    def command(
        self,
        *arguments: object,
        stdin: bytes = b"",
        within_s: float = WITHIN_S,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Done:
        """Run a command to its end. `settings` are environment variables over the installation's own."""
        ended = subprocess.run(
            [*self.wrapper, AMENDS, *map(str, arguments)],
            cwd=self.folder, env=self.environment(settings), input=stdin, capture_output=True, check=False,
            timeout=within_s,
        )  # fmt: skip
        return Done(code=ended.returncode, out=ended.stdout.decode(), err=ended.stderr.decode())

    def ok(self, *arguments: object) -> str:
        """Run a command that must succeed; what it printed."""
        done = self.command(*arguments)
        assert done.code == 0, done
        return done.out

    def json(self, *arguments: object) -> Any:
        """Run a command that must succeed; the document it printed."""
        return json.loads(self.ok(*arguments, "-o", "json"))

    @contextmanager
    def running(self, *arguments: object, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
        """Start a command that stays; it is killed at the end if it is still there."""
        number = len(list(self.folder.glob("log-*")))
        log = self.folder / f"log-{number}"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*self.wrapper, AMENDS, *map(str, arguments)],
                cwd=self.folder, env=self.environment(settings), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=stderr,
            )  # fmt: skip
        running = Running(process=process, log=log)
        try:
            yield running
        finally:
            if running.alive:
                process.send_signal(signal.SIGCONT)
                running.kill()

    def publish(self, topic: str, *triggers: Mapping[str, object] | bytes) -> None:
        """Publish triggers, one a line."""
        lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in triggers]
        done = self.command("publish", topic, "--file", "-", stdin=b"\n".join(lines))
        assert done.code == 0, done

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """The last outcome of each run, by its idempotency key."""
        lines = self.ok("outcomes", "-o", "jsonl").splitlines()
        return {outcome["idempotency_key"]: outcome for outcome in map(json.loads, lines)}

    def dead_letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("dead-letters", "list")
        return found

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the store's own database, not Amends."""
        if self.store.startswith("postgresql"):
            with psycopg.connect(self.store, options="-c search_path=amends", connect_timeout=5) as connection:
                return connection.execute(statement.encode()).fetchall()
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as embedded:
            return embedded.execute(statement).fetchall()

    def write(self, *statements: str) -> None:
        """Change the store's own database."""
        if self.store.startswith("postgresql"):
            with psycopg.connect(self.store, options="-c search_path=amends", connect_timeout=5) as connection:
                for statement in statements:
                    connection.execute(statement.encode())
            return
        with closing(sqlite3.connect(self.database, timeout=5)) as embedded, embedded:
            for statement in statements:
                embedded.execute(statement)

    def count(self, table: str, where: str = "true") -> int:
        found: int = self.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0][0]
        return found

    def effects(self) -> Counter[tuple[str, str]]:
        """What the participant did: how often for each booking and effect."""
        names = (file.name.split(" ") for file in self.ledger.iterdir())
        return Counter((unquote(booking), unquote(effect)) for booking, effect, _key in names)

    def counts(self) -> dict[str, int]:
        """Records of local topics, effects in the ledger, rows of the store."""
        rows = {table: self.count(table) for table in TABLES} if self._exists() else {}
        return {"ledger": self.effects().total(), **rows}

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Topic, ledger and store hold as much afterwards as before."""
        before = self.counts()
        yield
        assert self.counts() == before

    def _exists(self) -> bool:
        return self.store.startswith("postgresql") or self.database.exists()


@contextmanager
def used_once(use: Callable[[Installation], object]) -> Iterator[Path]:
    """The folder of an installation that was used like this; `copy_of` gives each test its own."""
    with tempfile.TemporaryDirectory(prefix="amends-test-") as name:
        used = Installation(folder=Path(name))
        used.ledger.mkdir()
        use(used)
        yield used.folder


def copy_of(used: Path, folder: Path) -> Installation:
    """The same in another folder."""
    shutil.copytree(used, folder, dirs_exist_ok=True)
    return Installation(folder=folder)


def ended(installation: Installation, count: int) -> None:
    """Wait until so many runs have ended or parked."""
    closed = "status IN ('completed', 'compensated', 'killed', 'parked')"
    wait_until(
        lambda: installation.count("runs", closed) >= count,
        within_s=WITHIN_S,
        what=f"{count} runs have ended",
        poll_s=0.05,
    )
