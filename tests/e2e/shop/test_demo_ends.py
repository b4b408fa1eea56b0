"""However the demo ends, no process outlives it, and the next one cleans up after it."""

import fcntl
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.shop.playing import FOLDER, left_running, play, playing, select

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="what runs is read from /proc, which Linux alone has"),
]
MOMENTS = ["1. The participants are running", "$ amends worker", "4. Another worker goes on"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_it_and_all_it_started(tmp_path: Path, moment: str) -> None:
    with playing(tmp_path) as demo:
        demo.until(moment)
        demo.interrupt()
        ended = demo.end()
    assert (ended.code, ended.complained) == (130, "")
    assert left_running(tmp_path) == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)], ids=["SIGTERM", "SIGKILL"])
def test_a_signal_to_it_alone_ends_all_it_started(tmp_path: Path, signum: int, code: int) -> None:
    with playing(tmp_path) as demo:
        demo.until("$ amends worker")
        demo.process.send_signal(signum)
        ended = demo.end()
    assert ended.code == code
    assert left_running(tmp_path) == []


def test_the_next_demo_cleans_up_after_one_that_was_killed(tmp_path: Path) -> None:
    with playing(tmp_path) as demo:
        demo.until("4. Another worker goes on")
        demo.process.kill()
        demo.end()
    assert left_running(tmp_path) == []
    (tmp_path / FOLDER / "notes").mkdir()
    (tmp_path / FOLDER / "notes" / "left.txt").write_text("from the last one")
    with playing(tmp_path) as demo:
        demo.until("40 records on shop.orders")
        assert not (tmp_path / FOLDER / "notes").exists()
        assert select(tmp_path / FOLDER / "shop" / "payments.db", "SELECT * FROM payments") == []
        demo.interrupt()
        assert demo.end().code == 130


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "thesis.txt").write_text("mine")
    refused = play(tmp_path)
    assert (refused.code, refused.said) == (2, "")
    assert refused.complained.startswith("error AM6001: ")
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["thesis.txt"]


def test_a_second_demo_in_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    with (tmp_path / FOLDER / "demo.lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = play(tmp_path)
    assert (refused.code, refused.said) == (7, "")
    assert refused.complained.startswith("error AM6002: ")
