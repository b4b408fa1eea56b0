"""On a terminal: progress on stderr, a live story, and Ctrl-C that ends any command cleanly."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from amends.coordinator.cli.output import cells
from tests.e2e.cli.conftest import REFUNDS, TOPIC
from tests.e2e.faults.installation import WITHIN_S, Installation
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

AMENDS = str(Path(sys.executable).with_name("amends"))
STAYING = [
    pytest.param(("worker", REFUNDS), id="worker"),
    pytest.param(("dev", REFUNDS), id="dev"),
    pytest.param(("runs", "watch", "refund/R-3"), id="runs watch"),
    pytest.param(("outcomes", "--follow"), id="outcomes"),
    pytest.param(("audit", "tail", "--follow"), id="audit tail"),
    pytest.param(("topics", "tail", TOPIC, "--follow"), id="topics tail"),
    pytest.param(("publish", TOPIC, "--json", "{}", "--wait"), id="publish"),
]


@contextmanager
def terminal(installation: Installation, *arguments: str, stdout: int | None = None) -> Iterator[tuple[int, int]]:
    """Run a command whose stderr (and stdout, unless it goes elsewhere) is a terminal; its pid and the other end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [AMENDS, *arguments],
        cwd=installation.folder, env=installation.environment({"TERM": "xterm"}), stdin=subprocess.DEVNULL,
        stdout=theirs if stdout is None else stdout, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        yield process.pid, ours
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


def heard(end: int, *, until: str) -> str:
    """What the terminal shows, up to a text."""
    shown = bytearray()

    def more() -> bool:
        with suppress(BlockingIOError, OSError):
            shown.extend(os.read(end, 65_536))
        return until in shown.decode(errors="replace")

    wait_until(more, within_s=WITHIN_S, what=f"{until!r} on the terminal", poll_s=0.05)
    return shown.decode(errors="replace")


def whole(end: int) -> list[str]:
    """All lines that the terminal shows, to the end of the command."""
    shown = bytearray()

    def is_over() -> bool:
        try:
            shown.extend(os.read(end, 65_536))
        except BlockingIOError:
            return False
        except OSError:  # Nobody has the other end any more.
            return True
        return False

    wait_until(is_over, within_s=WITHIN_S, what="the command has ended", poll_s=0.02)
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in shown.decode().splitlines()]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("runs", "list"), id="runs list"),
        pytest.param(("runs", "story", "refund/R-3"), id="runs story"),
        pytest.param(("parked", "list"), id="parked list"),
        pytest.param(("outcomes",), id="outcomes"),
        pytest.param(("audit", "tail"), id="audit tail"),
        pytest.param(("doctor",), id="doctor"),
    ],
)
def test_text_fits_a_terminal_of_eighty_columns(played: Installation, arguments: tuple[str, ...]) -> None:
    with terminal(played, *arguments) as (_, end):
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        lines = whole(end)
    assert lines
    assert [line for line in lines if cells(line) > 80] == []


def test_what_takes_longer_than_a_second_shows_that_it_goes_on(installation: Installation) -> None:
    with terminal(installation, "publish", TOPIC, "--json", "{}", "--wait", stdout=subprocess.DEVNULL) as (_, end):
        assert "waiting" in heard(end, until="0:00:0")


def test_nothing_is_shown_where_stderr_is_no_terminal(installation: Installation) -> None:
    done = installation.command("publish", TOPIC, "--json", "{}", "--wait", "--timeout", "1500ms")
    assert (done.out, done.err.count("\n")) == ("", 1)


def test_a_terminal_has_colors_unless_it_wants_none(played: Installation) -> None:
    with terminal(played, "runs", "list") as (_, end):
        assert "\x1b[32m✔ completed" in heard(end, until="A-1 ")


def test_a_run_is_watched_as_its_story(played: Installation) -> None:
    with terminal(played, "runs", "watch", "refund/R-3") as (_, end):
        assert "order A-3 · ‖ parked" in heard(end, until="A person decides")


@pytest.mark.parametrize("arguments", STAYING)
def test_ctrl_c_ends_a_command_that_stays_within_five_seconds(played: Installation, arguments: tuple[str, ...]) -> None:
    with played.running(*arguments) as running:
        wait_until(lambda: ready(running.process.pid), within_s=WITHIN_S, what="it has started", poll_s=0.05)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(5) == 130
    assert "Traceback" not in running.text
    assert "error AM" not in running.text


def ready(pid: int) -> bool:
    """Whether the process has opened the store, and so has passed its imports."""
    with suppress(OSError):
        return any("amends.db" in str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir())
    return False
