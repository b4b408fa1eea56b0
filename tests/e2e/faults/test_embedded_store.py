"""The embedded store where it cannot be used: refused with the reason, or waited for; what is in it stays as it is."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest

from tests.e2e.faults.installation import BOOKINGS, Installation, ended
from tests.servers.waiting import wait_until
from tests.small_disk import SmallDisk

pytestmark = pytest.mark.timeout(60)

TRIGGER = ("--json", '{"id": "A-9"}')
WRITING = [
    pytest.param(("worker", BOOKINGS), id="worker"),
    pytest.param(("dev", BOOKINGS), id="dev"),
    pytest.param(("publish", "bookings", *TRIGGER), id="publish"),
    pytest.param(("dead-letters", "redrive", "1"), id="redrive"),
]
READING = [
    pytest.param(("runs", "list"), id="runs list"),
    pytest.param(("runs", "story", "booking/A-2"), id="story"),
    pytest.param(("outcomes",), id="outcomes"),
    pytest.param(("audit", "verify", "--all"), id="verify"),
    pytest.param(("replay", "booking/A-2"), id="replay"),
]
COMMANDS = [*WRITING, *READING, pytest.param(("store", "migrate"), id="migrate")]


@pytest.fixture
def read_only(used: Installation) -> Installation:
    """Nobody may write the store, not even root, who here is without the right to pass over permissions."""
    for file in used.database.parent.iterdir():
        file.chmod(0o444)
    used.database.parent.chmod(0o555)
    powerless = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    return replace(used, wrapper=powerless)


@pytest.mark.parametrize("command", WRITING)
def test_a_store_that_nobody_may_write_is_refused(read_only: Installation, command: Sequence[str]) -> None:
    with read_only.unchanged():
        read_only.command(*command).refused(2, "AM0308", "cannot be written")


@pytest.mark.parametrize("command", READING)
def test_a_store_that_nobody_may_write_can_be_read(read_only: Installation, command: Sequence[str]) -> None:
    with read_only.unchanged():
        assert read_only.ok(*command)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_of_a_newer_version_is_left_alone(used: Installation, command: Sequence[str]) -> None:
    used.write("PRAGMA user_version = 99")
    before = used.database.read_bytes()
    used.command(*command).refused(2, "AM0304", "99")
    assert used.database.read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS[:3])
def test_a_file_of_another_program_is_left_alone(installation: Installation, command: Sequence[str]) -> None:
    installation.database.parent.mkdir()
    with closing(sqlite3.connect(installation.database)) as theirs, theirs:
        theirs.execute("CREATE TABLE mine (x)")
    before = installation.database.read_bytes()
    installation.command(*command).refused(2, "AM0306", "amends.db")
    installation.database.write_bytes(bytes(range(256)) * 100)
    installation.command(*command).refused(2, "AM0306", "amends.db")
    installation.database.write_bytes(before)
    assert installation.effects() == {}


def test_a_damaged_store_is_named_and_nothing_is_done_with_it(used: Installation) -> None:
    with closing(sqlite3.connect(used.database)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = used.database.read_bytes()
    used.database.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
    effects = used.effects()
    for command in (("worker", BOOKINGS, "--until-idle"), ("runs", "list"), ("publish", "bookings", *TRIGGER)):
        used.command(*command).refused(2, "AM0307", "damaged")
    assert used.effects() == effects


SECOND = [("worker", BOOKINGS), ("dev", BOOKINGS), ("worker", BOOKINGS, "--until-idle"), ("store", "restore", "backup")]


def test_a_second_coordinator_is_refused_and_the_first_goes_on(used: Installation) -> None:
    used.ok("store", "backup", "backup")
    with used.running("worker", BOOKINGS) as first:
        first.says("shards_gained")
        ended(used, 3)
        with used.unchanged():
            for command in SECOND:
                used.command(*command).refused(7, "AM0311", f"process {first.process.pid}")
        used.publish("bookings", {"id": "A-4"})
        ended(used, 4)
        assert first.stop() == 0
    used.ok("worker", BOOKINGS, "--until-idle")


def test_a_lock_outlives_nobody(used: Installation) -> None:
    with used.running("worker", BOOKINGS) as first:
        first.says("shards_gained")
        first.kill()
    used.ok("worker", BOOKINGS, "--until-idle")


def test_a_worker_whose_store_is_taken_away_ends_and_says_so(used: Installation) -> None:
    used.publish("bookings", *({"id": f"open {number}"} for number in range(500)))
    with used.running("worker", BOOKINGS) as worker:
        worker.says("shards_gained")
        used.database.unlink()
        done = worker.ends(within_s=5)
    assert (done.code, done.error.partition(":")[0]) == (2, "error AM0321")
    assert "Traceback" not in done.err


def test_a_disk_that_gets_full_is_waited_for_and_work_resumes_by_itself(installation: Installation) -> None:
    installation.ok("init")
    with SmallDisk(installation.folder) as disk:
        there = replace(installation, wrapper=disk.wrapper)
        with there.running("worker", BOOKINGS) as worker:
            worker.says("shards_gained")
            there.publish("bookings", *({"id": f"before {number}"} for number in range(10)))
            ended(there, 10)
            disk.full = True
            with there.unchanged():
                there.command("publish", "bookings", *TRIGGER).refused(2, "AM0309", "full")
                there.command("dev", BOOKINGS).refused(7, "AM0311")
            disk.full = False
            with worker.frozen():
                there.publish("bookings", *({"id": f"during {number}"} for number in range(10)))
                disk.full = True
            refused = disk.refused
            wait_until(lambda: disk.refused > refused + 3, within_s=20, what="it tried again and again")
            assert "AM0309" in worker.text
            assert worker.alive
            disk.full = False
            ended(there, 20)
            wait_until(lambda: "_is_back" in worker.text, within_s=10, what="it says so")
            assert worker.stop() == 0
    assert set(installation.effects().values()) == {1}
    assert {each["status"] for each in installation.outcomes().values()} == {"completed"}
    assert installation.json("audit", "verify", "--all")["ok"] is True
    assert installation.rows("PRAGMA integrity_check") == [("ok",)]


def test_a_worker_that_starts_on_a_full_disk_waits_for_space(installation: Installation) -> None:
    with SmallDisk(installation.folder) as disk:
        disk.full = True
        there = replace(installation, wrapper=disk.wrapper)
        there.command("publish", "bookings", *TRIGGER).refused(2, "AM0309", "full")
        with there.running("worker", BOOKINGS) as worker:
            worker.says("waiting", text="AM0309", count=2)
            disk.full = False
            worker.says("shards_gained")
            there.publish("bookings", {"id": "A-1"})
            ended(there, 1)
            assert worker.stop() == 0
    assert installation.outcomes()["A-1"]["status"] == "completed"


def test_a_worker_that_waits_for_space_can_be_stopped(installation: Installation) -> None:
    with SmallDisk(installation.folder) as disk:
        disk.full = True
        with replace(installation, wrapper=disk.wrapper).running("worker", BOOKINGS) as worker:
            worker.says("waiting", text="AM0309")
            assert worker.stop() == 0
