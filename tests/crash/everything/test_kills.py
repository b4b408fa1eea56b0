"""kill -9 before and after each entry of a saga that uses every construct: in the end the world is the same.

The saga is that of `examples/90_everything`, once for a festival that takes place and once for one that is undone. The
process dies at the very append, so its entries are there and nothing that follows from them is done ("after"), or what
they tell of has happened and they are not there ("before").
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.docs.pages import ROOT

EXAMPLE: Final = ROOT / "examples" / "90_everything"
WITHIN_S: Final = 30.0
KILLED: Final = -9
ENTRIES_AT_LEAST: Final = 20
CLOSED: Final = {"completed", "compensated"}

TAKES_PLACE: Final = {
    "request_id": "F-1", "festival": "Wine Fair", "mayor": "M-7", "square": "market", "guests": 480,
    "stalls": [
        {"place": 1, "name": "Ann", "meters": 3}, {"place": 2, "name": "Ben", "meters": 4},
        {"place": 3, "name": "Cem", "meters": 2},
    ],
    "opens_at": "2026-01-01T09:00:00Z",
}  # fmt: skip
IS_UNDONE: Final = {**TAKES_PLACE, "request_id": "F-2", "festival": "Open Air", "guests": 501}


@dataclass(frozen=True, slots=True)
class Host:
    """Where commands run. A process of its own for each, so that one can die."""

    process: "subprocess.Popen[str]"

    def command(self, folder: Path, *arguments: str, die: str | None = None, entry: int = 0) -> int:
        wanted = {"arguments": arguments, "folder": str(folder), "out": "out", "die": die, "entry": entry}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def text(self, folder: Path, *arguments: str) -> str:
        (folder / "out").unlink(missing_ok=True)
        assert self.command(folder, *arguments) == 0, (folder / "log").read_text()
        return (folder / "out").read_text()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
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


@pytest.mark.timeout(600)
@pytest.mark.parametrize("die", ["after", "before"])
@pytest.mark.parametrize("festival", [TAKES_PLACE, IS_UNDONE], ids=["takes place", "is undone"])
def test_the_world_is_the_same_whichever_entry_the_worker_dies_at(
    festival: dict[str, Any], die: str, host: Host, tmp_path: Path
) -> None:
    begun = prepared(host, festival, tmp_path / "begun")
    expected = world(host, finished(host, copied(begun, tmp_path / "undisturbed")))
    entry = 1
    while killed(host, folder := copied(begun, tmp_path / f"killed-{entry}"), die, entry):
        assert world(host, finished(host, folder)) == expected, f"killed {die} entry {entry}: {folder}"
        shutil.rmtree(folder)
        entry += 1
    assert entry > ENTRIES_AT_LEAST


def prepared(host: Host, festival: dict[str, Any], folder: Path) -> Path:
    """A folder in which the request, the approval and the band's answer have come, and nobody has worked yet."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "master-key").write_text("bWFzdGVyLWtleS1vZi0zMi1ieXRlcy1mb3ItdGVzdHM=")
    subprocess.run([sys.executable, "festival.py"], cwd=folder, check=True, capture_output=True)
    for trouble in ("line-cut", "office-closed"):
        (folder / trouble).touch()
    approval = ("--type", "Approval", "--json", '{"officer": "Ms. Brand"}', "--id", "approval")
    host.text(folder, "messages", "send", str(festival["request_id"]), *approval)
    band = ("--answer", "succeeded", "--json", '{"plays_until": "22:00"}', "--id", "band")
    host.text(folder, "messages", "send", f"{festival['request_id']}-band", *band)
    host.text(folder, "publish", "festivals", "--json", json.dumps(festival))
    return folder


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def killed(host: Host, folder: Path, die: str, entry: int) -> bool:
    """Work until the worker dies at the entry; False where the run has ended before."""
    while status(folder) not in CLOSED:
        code = host.command(folder, "worker", "--until-idle", die=die, entry=entry)
        if code == KILLED:
            return True
        assert code == 0, (folder / "log").read_text()
    return False


def finished(host: Host, folder: Path) -> Path:
    """The same, when another worker has gone on to the end."""
    until = time.monotonic() + WITHIN_S
    while status(folder) not in CLOSED:
        assert host.command(folder, "worker", "--until-idle") == 0, (folder / "log").read_text()
        assert time.monotonic() < until, f"it does not end: {(folder / 'log').read_text()}"
    return folder


def status(folder: Path) -> str | None:
    found = rows(folder / ".amends" / "amends.db", "SELECT status FROM runs")
    return str(found[0][0]) if found else None


def world(host: Host, folder: Path) -> dict[str, Any]:
    """All that somebody outside could see: the hall's books, the trouble that is left, what was reported."""
    *_, outcome = json.loads(host.text(folder, "outcomes", "-o", "json"))
    assert json.loads(host.text(folder, "audit", "verify", "--all", "-o", "json"))["ok"]
    return {
        "books": sorted(rows(folder / "hall.db", "SELECT what FROM books")),
        "trouble": [name for name in ("line-cut", "office-closed") if (folder / name).exists()],
        "undone": sorted((each["step"], each["verified_by"]) for each in outcome["undone"]),
        **{name: outcome[name] for name in ("saga_id", "status", "cause", "result", "exposure", "generation", "proof")},
        "failure": outcome["failure"] and (outcome["failure"]["step"], outcome["failure"]["kind"]),
    }


def rows(database: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute(statement).fetchall()
