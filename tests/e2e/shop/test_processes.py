"""The participants as processes: they say where they are, end when asked, and never outlive who started them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amends.examples.shop.launch import ParticipantDidNotStart, begin, participants, ready

NAMES = ["payments", "mail"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_cleanly(name: str, signum: int, data: Path) -> None:
    running = ready(name, begin(name, data), data)
    assert (running.addresses["participant"], running.addresses["pid"]) == (name, running.process.pid)
    with running.process as process:
        process.send_signal(signum)
        assert process.wait(5) == 0
    assert (data / f"{name}.log").read_text() == ""
    assert sorted(path.name for path in data.iterdir()) == [f"{name}.db", f"{name}.log"]


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_when_the_one_who_holds_its_stdin_is_gone(name: str, data: Path) -> None:
    running = ready(name, begin(name, data), data)
    with running.process as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(5) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a child of its parent's death on Linux alone")
@pytest.mark.parametrize("name", NAMES)
def test_it_ends_when_its_parent_is_killed(name: str, data: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-m', 'amends.examples.shop.{name}', '--data', {str(data)!r}],"
        " stdin=subprocess.DEVNULL)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = json.loads(parent.stdout.readline())["pid"]
        parent.kill()
    assert gone(child, within_s=5)


def test_the_block_that_runs_them_leaves_none_behind(data: Path) -> None:
    with participants(data, *NAMES) as running:
        pids = [participant.process.pid for participant in running.values()]
    assert all(gone(pid, within_s=0) for pid in pids)


def test_one_that_cannot_start_says_why_in_its_log(data: Path) -> None:
    running = ready("payments", begin("payments", data), data)
    port = running.url.rpartition(":")[2]
    try:
        with pytest.raises(ParticipantDidNotStart, match="payments was not ready"):
            ready("payments", begin("payments", data, ["--port", port]), data)
        assert "payments cannot start: " in (data / "payments.log").read_text()
    finally:
        assert running.stop() == 0


def gone(pid: int, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while True:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # Ended, and not yet collected by whoever inherited it.
        except ProcessLookupError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
