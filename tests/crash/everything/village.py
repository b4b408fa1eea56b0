"""A village that prepares a festival: a folder with all its books, a worker, the band, and a person who decides."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.crash.everything.deaths import Death
from tests.docs.pages import ROOT

EXAMPLE: Final = ROOT / "examples" / "90_everything"
WITHIN_S: Final = 60.0
LOOK_S: Final = 0.02
KILLED: Final = -9
CLOSED: Final = {"completed", "compensated"}
TROUBLES: Final = ("line-cut", "office-closed", "rain", "yard-locked")

Program = tuple[str, ...]
WORKER: Final = ("amends", "worker")
BAND: Final = ("band.py",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the mayor asks for, what goes wrong, and what the minister says, if anything."""

    festival: dict[str, Any]
    troubles: tuple[str, ...]
    greeting: str | None


@dataclass(frozen=True, slots=True)
class Host:
    """Where programs run. A process of its own for each, so that one can die."""

    process: "subprocess.Popen[str]"

    def start(self, folder: Path, program: Program, *, out: str = "out", death: Death | None = None) -> int:
        log = f"{Path(program[0]).stem}.log"
        wanted = {"program": program, "folder": str(folder), "out": out, "log": log, "die": death}
        pid = self._asked(start=wanted)
        assert pid is not None
        return pid

    def ended(self, pid: int) -> int | None:
        return self._asked(ended=pid)

    def stop(self, pid: int) -> int:
        code = self._asked(stop=pid)
        assert code is not None
        return code

    def _asked(self, **what: Any) -> int | None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        answer: int | None = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def hosting() -> Iterator[Host]:
    """A host, with none of the developer's settings."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.everything.host"],
        cwd=ROOT,
        env={**settings, "AMENDS_LOG": "warning"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Host(process)


@dataclass(frozen=True, slots=True)
class Village:
    """One folder. Nobody but a host's programs writes into it."""

    host: Host
    folder: Path

    @classmethod
    def prepared(cls, host: Host, story: Story, folder: Path) -> "Village":
        """The request has come, and what people send; nobody has worked yet."""
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        village, request = cls(host, folder), str(story.festival["request_id"])
        (folder / "master-key").write_text("bWFzdGVyLWtleS1vZi0zMi1ieXRlcy1mb3ItdGVzdHM=")
        village.text("festival.py")
        village.text("band.py", "diary")
        for trouble in story.troubles:
            (folder / trouble).touch()
        village.send(request, "--type", "Approval", "--json", '{"officer": "Ms. Brand"}', "--id", "approval")
        if story.greeting is not None:
            greeting = json.dumps({"words": story.greeting})
            village.send(request, "--type", "Greeting", "--json", greeting, "--id", "greeting")
        village.send(f"bills of {request}", "--answer", "succeeded", "--json", '{"number": 12}', "--id", "bills")
        village.text("amends", "publish", "festivals", "--json", json.dumps(story.festival))
        return village

    def copied(self, to: Path, host: Host) -> "Village":
        return Village(host, Path(shutil.copytree(self.folder, to)))

    def work(self, death: Death | None = None) -> bool:
        """Worker and band, until all is over. Whether one of them died on the way, and was replaced."""
        died = False
        programs = {"worker": WORKER, "band": BAND}
        running = {
            who: self.host.start(self.folder, program, death=death if death and death["who"] == who else None)
            for who, program in programs.items()
        }
        until = time.monotonic() + WITHIN_S
        while not self.is_over():
            for who, pid in running.items():
                code = self.host.ended(pid)
                if code is not None:
                    assert code == KILLED, f"{who} ended with {code}: {self.logs()}"
                    assert not died, f"{who} was killed a second time: {self.logs()}"
                    died = True
                    running[who] = self.host.start(self.folder, programs[who])
            self.decide()
            assert time.monotonic() < until, f"it does not end: {self.status()}, {self.logs()}"
            time.sleep(LOOK_S)
        codes = {who: self.host.stop(pid) for who, pid in running.items()}
        assert set(codes.values()) <= {0, KILLED}, f"{codes}: {self.logs()}"
        return died or KILLED in codes.values()

    def decide(self) -> None:
        """Be the person who finds the run parked: the sun shines, and what was right is kept."""
        if self.status() == "parked" and (self.folder / "yard-locked").exists():
            wish = ("--undo-to", "approval", "--reason", "the sun shines", "--as", "ann")
            (self.folder / "rain").unlink()
            (self.folder / "yard-locked").unlink()
            self.text("amends", "parked", "resolve", self.saga_id(), *wish)

    def send(self, key: str, *message: str) -> None:
        self.text("amends", "messages", "send", key, *message)

    def text(self, *program: str) -> str:
        """What a program prints that ends by itself."""
        out = self.folder / "printed"
        out.unlink(missing_ok=True)
        pid = self.host.start(self.folder, program, out="printed")
        until = time.monotonic() + WITHIN_S
        while (code := self.host.ended(pid)) is None:
            assert time.monotonic() < until, f"{program} does not end: {self.logs()}"
            time.sleep(LOOK_S)
        assert code == 0, f"{program} ended with {code}: {self.logs()}"
        return out.read_text()

    def logs(self) -> str:
        return f"{self.folder}\n" + "\n".join(file.read_text() for file in sorted(self.folder.glob("*.log")))

    def is_over(self) -> bool:
        """Closed, and read back: until then it stands among those that wait."""
        return self.status() in CLOSED

    def status(self) -> str | None:
        return self._of_the_run("status")

    def saga_id(self) -> str:
        return self._of_the_run("saga_id") or ""

    def _of_the_run(self, column: str) -> str | None:
        found = self.rows(".amends/amends.db", f"SELECT {column} FROM runs")
        return str(found[0][0]) if found else None

    def rows(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.folder / database}?mode=ro", uri=True, timeout=5)) as connection:
            return connection.execute(statement).fetchall()
