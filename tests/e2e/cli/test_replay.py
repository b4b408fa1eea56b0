"""`amends replay`: folds a history offline; it can neither reach the network nor append (acceptance of the spine)."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e.cli.conftest import lines
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

WHERE = [pytest.param((), id="from the store"), pytest.param(("--from-topic",), id="from the topic")]
SEALED = "mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && "


def may_unshare() -> bool:
    """Whether this machine lets a test have a network and mounts of its own."""
    return subprocess.run(["unshare", "-rnm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("key", ["R-1", "R-2", "R-3"])
def test_a_replay_gives_the_very_bytes_of_the_state(played: Installation, key: str, where: tuple[str, ...]) -> None:
    state = played.ok("runs", "state", f"refund/{key}", "-o", "json").rstrip("\n")
    replayed = played.ok("replay", f"refund/{key}", *where, "-o", "json").rstrip("\n")
    assert replayed.endswith(f',"state":{state}}}')
    last = played.ok("replay", f"refund/{key}", *where, "-o", "jsonl").splitlines()[-1]
    assert last.endswith(f',"state":{state}}}')


@pytest.mark.skipif(not may_unshare(), reason="unshare(1) is not allowed here: run it as root or allow user namespaces")
def test_it_needs_neither_network_nor_a_store_that_can_be_written(played: Installation) -> None:
    expected = played.ok("replay", "refund/R-2", "-o", "json")
    seal = SEALED.format(folder=played.folder)
    arguments = [str(Path(sys.executable).with_name("amends")), "replay", "refund/R-2", "-o", "json"]
    done = subprocess.run(
        ["unshare", "-rnm", "sh", "-c", f"{seal} cd {played.folder} && ! touch x && exec {' '.join(arguments)}"],
        capture_output=True, text=True, check=False, timeout=30, env=played.environment({}),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_each_entry_comes_with_the_state_after_it(played: Installation) -> None:
    for each in lines(played.ok("replay", "refund/R-2", "-o", "jsonl")):
        assert list(each) == ["version", "entry", "state"]
        assert each["entry"]["version"] == each["state"]["version"] == each["version"]
        at = played.json("runs", "state", "refund/R-2", "--at", each["version"])
        assert each["state"] == at
    text = played.ok("replay", "refund/R-2")
    assert '        SagaCompensated\n          status: "compensating" → "compensated"' in text
    assert text.splitlines()[-1].endswith(": compensated, folded without reaching the world")


@pytest.mark.parametrize("command", [("replay",), ("runs", "state")], ids=" ".join)
def test_people_read_times_not_microseconds(played: Installation, command: tuple[str, ...]) -> None:
    text = played.ok(*command, "refund/R-3")
    started_at = played.json("runs", "show", "refund/R-3")["started_at"]
    assert re.search(rf"started_at\W+ (→ )?\"?{started_at}", text)
    assert not re.search(r"\b\d{16}\b", text)


def test_it_ends_where_it_is_told_to(played: Installation) -> None:
    assert [each["version"] for each in lines(played.ok("replay", "refund/R-2", "--at", "2", "-o", "jsonl"))] == [1, 2]
    played.command("replay", "refund/R-2", "--at", "99").refused(6, "AM5012", "99")


def test_a_broken_history_is_refused(played: Installation) -> None:
    played.write("UPDATE events SET state = replace(cast(state AS text), 'R-2', 'R-9')")
    played.command("replay", "refund/R-2").refused(1, "AM5041", "version 1", "hash", "audit verify")


REACHES = {
    "a socket": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "a name": "import socket; socket.getaddrinfo('localhost', 80)",
    "a database": "import sqlite3; sqlite3.connect('other.db')",
    "a process": "import subprocess; subprocess.run(['true'])",
    "a shell": "import os; os.system('true')",
    "a fork": "import os; os.fork()",
    "a file to write": "open('written', 'w')",
    "a file to append to": "open('written', 'ab')",
    "a descriptor to write": "import os; os.open('written', os.O_CREAT | os.O_WRONLY)",
    "a file to remove": "import os; os.remove('there')",
    "a folder": "import os; os.mkdir('folder')",
}


@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
def test_the_guard_stops_whatever_reaches_for_the_world(tmp_path: Path, reach: str) -> None:
    (tmp_path / "there").touch()
    program = f"from amends.coordinator.reading.replay import cut_off\ncut_off()\n{reach}\n"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ReachedOut: a replay may not" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["there"]
