"""SQLite as it really is: durable settings, locks between processes, files that cannot be used, copies."""

import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from inspect import isfunction
from pathlib import Path
from typing import get_type_hints

import pytest

from amends.connectors.stores import faults, open_store
from amends.connectors.stores.sqlite import CoordinatorLock, SqliteLog, SqliteStore, lock_of
from amends.connectors.stores.sqlite.connections import BUSY_TIMEOUT_S, Datastore, open_writer
from amends.coordinator.errors import AmendsError, Conflict, StoreUnavailable, UsageError
from amends.coordinator.ports.rows import Batch, RelayWait
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import LEASE_MS, Owner, change, entry, letter, local, message, run, saga_id
from tests.servers.tools import CHECKOUT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "amends.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., SqliteStore]]:
    stores: list[Store] = []

    def open_it(at: Path = path, *, read_only: bool = False) -> SqliteStore:
        store = open_store(f"sqlite:///{at}", data_dir=at.parent, read_only=read_only)
        stores.append(store)
        assert isinstance(store, SqliteStore)
        return store

    yield open_it
    for store in stores:
        store.close()


def in_child(program: str, *arguments: object, user: int | None = None) -> subprocess.Popen[str]:
    """Run a program in a process of its own, with the store's parts imported."""
    header = "import sys\nfrom pathlib import Path\nfrom amends.connectors.stores import open_store\n"
    header += "from tests.contract.stores.builders import *\n"
    header += "store = open_store(f'sqlite:///{sys.argv[1]}', data_dir=Path(sys.argv[1]).parent)\n"
    return subprocess.Popen(
        [sys.executable, "-c", header + program, *map(str, arguments)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=user,
    )


def test_every_commit_is_synced_to_disk(opened: Callable[..., SqliteStore], path: Path) -> None:
    opened()
    connection = open_writer(path)
    settings = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    waits = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.close()
    assert settings == ["wal", 2]
    assert waits == BUSY_TIMEOUT_S * 1_000 == 10_000


def test_readers_can_change_nothing(opened: Callable[..., SqliteStore], path: Path) -> None:
    opened()
    datastore = Datastore(path)
    with pytest.raises(UsageError), datastore.reading() as connection:
        connection.execute("DELETE FROM store")
    datastore.close()


def test_a_store_opened_for_reading_refuses_to_write(opened: Callable[..., SqliteStore]) -> None:
    store = opened(read_only=True)  # and was made, though it is only read
    assert store.runs() == []
    with pytest.raises(UsageError, match="opened for reading"):
        store.put_inbox([message("m")])


def test_only_its_owner_can_look_into_what_we_make(opened: Callable[..., SqliteStore], path: Path) -> None:
    Owner(opened())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_a_data_folder_that_exists_keeps_its_mode(opened: Callable[..., SqliteStore], path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    opened()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_processes_that_start_at_once_make_one_store(opened: Callable[..., SqliteStore], path: Path) -> None:
    children = [in_child("print(store.incarnation())", path) for _ in range(6)]
    made = {child.communicate(timeout=50)[0] for child in children}
    assert [child.returncode for child in children] == [0] * 6
    assert made == {opened().incarnation() + "\n"}


def test_a_second_coordinator_is_told_who_holds_the_store(opened: Callable[..., SqliteStore], path: Path) -> None:
    child = in_child("store.lock.acquire(); print('held', flush=True); sys.stdin.read()", path)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    store = opened()
    with pytest.raises(Conflict, match=f"process {child.pid} on ") as refused:
        store.claim("worker", "w", lease_ms=LEASE_MS, limit=1)
    assert refused.value.exit_code == 7
    assert refused.value.line().startswith("error AM0311: another coordinator works on this store")
    store.put_inbox([message("left by the command line")])
    child.kill()
    child.communicate()
    assert len(store.claim("worker", "w", lease_ms=LEASE_MS, limit=1)) == 1


def test_a_process_that_dies_leaves_its_shards_to_the_next_one_at_once(
    opened: Callable[..., SqliteStore], path: Path
) -> None:
    child = in_child("Owner(store, 'same name').start('a'); print('held', flush=True); sys.stdin.read()", path)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    child.kill()
    child.communicate()
    (lease,) = opened().claim("worker", "same name", lease_ms=LEASE_MS, limit=9)
    assert (lease.epoch, lease.position, lease.clean) == (2, 1, False)


def test_a_process_forked_from_the_holder_holds_nothing_and_lets_go_of_nothing(
    opened: Callable[..., SqliteStore], path: Path
) -> None:
    program = "import os, signal\nstore.lock.acquire()\nif os.fork():\n    sys.stdin.read()\n"
    holder = in_child(program + "print(os.getpid(), flush=True)\nsignal.pause()", path)
    assert holder.stdout is not None
    forked = int(holder.stdout.readline())
    try:
        store = opened()
        with pytest.raises(Conflict, match=f"process {holder.pid} on "):
            store.lock.acquire()
        holder.kill()
        holder.wait()
        os.kill(forked, 0)
        store.lock.acquire()
    finally:
        os.kill(forked, signal.SIGKILL)
        holder.communicate()


def test_the_lock_follows_the_file_not_the_name_it_is_opened_by(
    opened: Callable[..., SqliteStore], path: Path, tmp_path: Path
) -> None:
    Owner(opened())
    (tmp_path / "link").symlink_to(path.parent)
    other = opened(tmp_path / "link" / "amends.db")
    with pytest.raises(Conflict):
        other.lock.acquire()
    elsewhere = open_store(f"sqlite:///{path}", data_dir=tmp_path / "another data folder")
    with pytest.raises(Conflict):
        elsewhere.claim("worker", "w", lease_ms=LEASE_MS, limit=1)
    elsewhere.close()


def test_taking_the_lock_twice_is_taking_it_once(tmp_path: Path) -> None:
    lock, other = CoordinatorLock(tmp_path / "lock"), CoordinatorLock(tmp_path / "lock")
    lock.acquire()
    lock.acquire()
    assert lock.held
    lock.release()
    other.acquire()
    with pytest.raises(Conflict):
        lock.acquire()
    other.release()


def test_the_command_line_writes_beside_a_busy_worker(opened: Callable[..., SqliteStore], path: Path) -> None:
    owner = Owner(opened())
    program = """
for number in range(60):
    store.put_inbox([message(f'{sys.argv[2]}-{number}')])
    store.publish([local('t'), local('t')])
print('done')"""
    children = [in_child(program, path, name) for name in "ab"]
    number = 0
    while any(child.poll() is None for child in children):
        owner.append(owner.part(0, [(number, 1)], started=[run(number)]))
        number += 1
    assert [child.communicate()[0] for child in children] == ["done\n"] * 2
    store = opened()
    assert (len(store.inbox(0)), len(store.records("t", after=-1, limit=999))) == (120, 240)
    assert store.shards()[0].position == number > 0


def test_a_store_of_a_newer_version_is_refused_and_left_alone(opened: Callable[..., SqliteStore], path: Path) -> None:
    opened().close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="newer version of Amends \\(store version 99, this one knows 4\\)") as refused:
        opened()
    assert refused.value.code == "AM0304"
    assert path.read_bytes() == before


OF_VERSION_3 = """
    DROP TABLE subjects;
    DROP TABLE subject_runs;
    DROP TABLE messages;
    DROP TABLE awaited;
    DROP TABLE archived;
    DROP TABLE locks;
    DELETE FROM counters WHERE name = 'locks';
    UPDATE store SET version = 3;
    PRAGMA user_version = 3;
"""
OF_VERSION_2 = """
    DROP INDEX dead_letters_once;
    ALTER TABLE dead_letters DROP COLUMN digest;
    CREATE UNIQUE INDEX dead_letters_place ON dead_letters (topic, partition, "offset", coalesce(saga, ''));
    CREATE UNIQUE INDEX events_first ON events (originator_id) WHERE originator_version = 1;
    CREATE TABLE runs_before (
        saga_id TEXT PRIMARY KEY, shard INTEGER NOT NULL, namespace TEXT NOT NULL, saga TEXT NOT NULL,
        definition_version INTEGER NOT NULL, definition_hash TEXT NOT NULL, idempotency_key TEXT NOT NULL,
        business_key TEXT NOT NULL, generation INTEGER NOT NULL, request_digest TEXT NOT NULL,
        status TEXT NOT NULL, cause TEXT, version INTEGER NOT NULL, started_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, ended_at INTEGER, next_due_at INTEGER, waiting_for TEXT,
        quarantined INTEGER NOT NULL, duplicates INTEGER NOT NULL, origins TEXT NOT NULL);
    INSERT INTO runs_before SELECT saga_id, shard, namespace, saga, definition_version, definition_hash,
        idempotency_key, business_key, generation, request_digest, status, cause, version, started_at, updated_at,
        ended_at, next_due_at, waiting_for, quarantined, duplicates, origins FROM runs ORDER BY saga_id;
    DROP TABLE runs;
    ALTER TABLE runs_before RENAME TO runs;
    CREATE INDEX runs_newest ON runs (started_at, saga_id);
    CREATE INDEX runs_saga ON runs (saga, started_at, saga_id);
    CREATE INDEX runs_idempotency_key ON runs (idempotency_key);
    CREATE INDEX runs_business_key ON runs (business_key);
    CREATE INDEX runs_status ON runs (status, started_at, saga_id, shard) WHERE status <> 'completed';
    ALTER TABLE origins RENAME TO origins_after;
    CREATE TABLE origins (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, saga_id TEXT NOT NULL,
        PRIMARY KEY (topic, partition, "offset", saga_id));
    INSERT INTO origins SELECT * FROM origins_after;
    DROP TABLE origins_after;
    UPDATE store SET version = 2;
    PRAGMA user_version = 2;
"""
OF_VERSION_1 = """
    DROP TABLE relay_waits;
    DROP INDEX events_first;
    ALTER TABLE events RENAME TO events_after;
    CREATE TABLE events (
        originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL, topic TEXT NOT NULL,
        state BLOB NOT NULL, rowid INTEGER PRIMARY KEY, UNIQUE (originator_id, originator_version));
    INSERT INTO events SELECT originator_id, originator_version, topic, state, rowid FROM events_after;
    DROP TABLE events_after;
    UPDATE store SET version = 1;
    PRAGMA user_version = 1;
"""


def tables_of(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """Every table's columns and every index's, as SQLite itself understands them."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'")]
    columns = "SELECT name || ' ' || type || ' ' || pk FROM pragma_table_info(?)"
    asked = f"{columns} UNION ALL SELECT name FROM pragma_index_info(?)"
    return {name: {str(row[0]) for row in connection.execute(asked, (name, name))} for name in names}


def test_an_upgrade_beside_a_coordinator_is_refused_and_says_that_it_is_one(
    opened: Callable[..., SqliteStore], path: Path
) -> None:
    running = opened()
    running.lock.acquire()
    with sqlite3.connect(path) as connection:
        connection.executescript(OF_VERSION_3 + OF_VERSION_2)
    connection.close()
    with pytest.raises(Conflict) as refused:
        opened()
    assert (refused.value.code, refused.value.exit_code) == ("AM0311", 7)
    assert "is of version 2 and must be brought up to 4, but another coordinator" in refused.value.line()
    assert refused.value.line().endswith("; stop it first, then run: amends store migrate")


@pytest.mark.parametrize(
    "older",
    [OF_VERSION_3 + OF_VERSION_2 + OF_VERSION_1, OF_VERSION_3 + OF_VERSION_2, OF_VERSION_3],
    ids=["1", "2", "3"],
)
def test_a_store_of_an_older_version_is_brought_up_with_all_it_holds(
    opened: Callable[..., SqliteStore], path: Path, older: str
) -> None:
    first = opened()
    owner = Owner(first)
    owner.start("a", "b", "lost", "too")
    letters = letter(1), letter(2, key=None, value=None)
    owner.append(owner.part(0, [("b", 2), ("a", 2), ("a", 3)]), dead_letters=letters)
    with sqlite3.connect(path) as connection:
        new = tables_of(connection)
        connection.executescript(older + "DELETE FROM events WHERE rowid IN (1, 3, 4);")
        assert tables_of(connection) != new
    connection.close()
    before, entries = first.runs(), first.entries_from(0, after=0, limit=10)
    first.close()
    coordinator = CoordinatorLock(lock_of(path))
    coordinator.acquire()
    with pytest.raises(Conflict):
        opened()  # One of the older version runs.
    coordinator.release()
    children = [in_child("print('done')", path, name) for name in "ab"]
    assert [child.communicate()[0] for child in children] == ["done\n"] * 2
    store = opened()
    assert store.runs() == before
    assert store.entries_from(0, after=0, limit=10) == entries
    for row in before:
        assert store.entries_of(row.saga_id) == [entry for entry in entries if entry.saga_id == row.saga_id]
    assert [row.idempotency_key for row in store.runs_by_origin("billing.refunds", 0, 1)] == ["R-b"]
    store.append(Batch(dead_letters=(*letters, letter(1, value=b"other"))))
    assert [row.value for row in store.dead_letters()] == [letter(1).value, None, b"other"]
    store.relay_waits_at(wait := RelayWait(shard=0, position=1, why="AM4107", since=1))
    assert store.relay_waits() == [wait]
    with sqlite3.connect(path) as connection:
        assert tables_of(connection) == new
    connection.close()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_no_store(
    opened: Callable[..., SqliteStore], path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir()
    make(path)
    with pytest.raises(UsageError, match=r"amends\.db is not a store of Amends") as refused:
        opened()
    assert refused.value.code == "AM0306"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"not a database at all" * 100, "AM0306", id="garbage"),
        pytest.param(None, "AM0306", id="another program's database"),
    ],
)
def test_what_is_not_a_store_is_refused_and_left_alone(
    opened: Callable[..., SqliteStore], path: Path, content: bytes | None, code: str
) -> None:
    path.parent.mkdir()
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE theirs (x)")
        connection.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(UsageError) as refused:
        opened()
    assert refused.value.code == code
    assert path.read_bytes() == before


def test_a_file_in_the_place_of_the_data_folder_is_named(opened: Callable[..., SqliteStore], path: Path) -> None:
    path.parent.write_text("a file")
    with pytest.raises(UsageError, match="AMENDS_DATA"):
        opened()


def test_a_damaged_store_says_so(opened: Callable[..., SqliteStore], path: Path) -> None:
    Owner(opened()).start(*range(200))
    opened().backup(path.with_name("copy.db"))
    damaged = path.with_name("copy.db")
    data = bytearray(damaged.read_bytes())
    data[4096 * 3 :] = b"\x5a" * (len(data) - 4096 * 3)
    damaged.write_bytes(data)
    with pytest.raises(UsageError) as refused:
        list(opened(damaged, read_only=True).open_entries(0))
    assert refused.value.code == "AM0307"


def remove(*files: Path) -> None:
    for file in files:
        file.unlink()


def replace(*files: Path) -> None:
    for file in files:
        other = file.with_name(f"other-{file.name}")
        shutil.copyfile(file, other)
        other.rename(file)


@pytest.fixture(params=["files that know their names", "inodes"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux, and one that has no descriptors that only refer to a file."""
    if request.param == "inodes":
        monkeypatch.delattr(os, "O_PATH", raising=False)


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("do", [remove, replace])
@pytest.mark.parametrize("names", [("amends.db",), ("amends.db-wal",), ("amends.db", "amends.db-wal", "amends.db-shm")])
def test_a_store_that_is_taken_away_while_it_is_used_says_so_instead_of_writing_where_nobody_looks(
    opened: Callable[..., SqliteStore], path: Path, do: Callable[..., None], names: Sequence[str]
) -> None:
    store = opened()
    owner = Owner(store)
    owner.start("a")
    store.change_mark()
    do(*(path.with_name(name) for name in names))
    for use in (lambda: owner.start("b"), store.change_mark, lambda: store.publish([local("t")])):
        with pytest.raises(UsageError, match="removed or replaced while it was in use") as refused:
            use()
        assert refused.value.code == "AM0321"


def test_a_store_that_was_closed_keeps_no_descriptor_of_its_files(
    opened: Callable[..., SqliteStore], path: Path
) -> None:
    store = opened()
    Owner(store).start("a")
    assert path.stat().st_ino in open_inodes()
    store.close()
    assert path.stat().st_ino not in open_inodes()


def open_inodes() -> set[int]:
    found = set()
    for descriptor in Path("/dev/fd").iterdir():
        with suppress(OSError):  # The one that the list itself was read from.
            found.add(descriptor.stat().st_ino)
    return found


def test_unknown_urls_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    for url in ("sqlite:///", "sqlite://x", "mysql://x", "amends.db", ""):
        with pytest.raises(UsageError, match="sqlite:///PATH"):
            open_store(url, data_dir=tmp_path)


def test_a_relative_url_is_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///.amends/amends.db", data_dir=Path(".amends")).close()
    assert (tmp_path / ".amends" / "amends.db").exists()


def test_the_change_mark_sees_another_process(opened: Callable[..., SqliteStore], path: Path) -> None:
    store = opened()
    before = store.change_mark()
    in_child("store.put_inbox([message('m')])", path).communicate(timeout=50)
    assert store.change_mark() != before


def test_the_library_reads_the_log_and_cannot_write_past_the_fence(
    opened: Callable[..., SqliteStore], path: Path
) -> None:
    owner = Owner(opened())
    owner.start("a", "b")
    owner.append(owner.part(0, [("a", 2)], changed=[change("a")]))
    log = SqliteLog(Datastore(path))
    assert [event.state for event in log.select_events(saga_id("a"))] == [
        entry("a", n, position=n).data for n in (1, 2)
    ]
    found = log.select_notifications(None, 10)
    assert [(row.id, row.originator_id, row.originator_version) for row in found] == [
        (1, saga_id("a"), 1),
        (2, saga_id("b"), 1),
        (3, saga_id("a"), 2),
    ]
    assert log.max_notification_id() == 3
    with pytest.raises(NotImplementedError, match="compare-and-set"):
        log.insert_events(log.select_events(saga_id("a")))
    log.datastore.close()


def test_what_is_left_of_a_run_without_its_first_entry_is_read(opened: Callable[..., SqliteStore], path: Path) -> None:
    store = opened()
    owner = Owner(store)
    owner.start("a", "b")
    owner.append(owner.part(0, [("a", 2), ("a", 3)], changed=[change("a")]))
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM events WHERE originator_id = ? AND originator_version = 1", (saga_id("a"),))
    connection.close()
    assert [entry.version for entry in store.entries_of(saga_id("a"))] == [2, 3]
    assert [entry.version for entry in store.entries_of(saga_id("a"), limit=1)] == [2]
    assert store.entries_of(saga_id("a"), after=3) == store.entries_of(saga_id("c")) == []
    assert sorted((entry.saga_id, entry.version) for entry in store.open_entries(0)) == sorted(
        [(saga_id("a"), 2), (saga_id("a"), 3), (saga_id("b"), 1)]
    )


def test_vacuum_keeps_every_position(opened: Callable[..., SqliteStore], path: Path) -> None:
    store = open_store(f"sqlite:///{path}", data_dir=path.parent, shards=3)
    owner = Owner(store)
    owner.start("a", "b", shard=2)
    owner.start("c", shard=1)
    before = [store.entries_from(shard, after=0, limit=9) for shard in range(3)]
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("VACUUM")
    connection.close()
    assert [opened().entries_from(shard, after=0, limit=9) for shard in range(3)] == before


def test_every_look_up_of_runs_goes_by_an_index(path: Path) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []

    class Listening(SqliteStore):
        def _rows(self, sql, params=()):  # type: ignore[no-untyped-def]
            asked.append((sql, tuple(params)))
            return super()._rows(sql, params)

    store = Listening(path)
    store.migrate(shards=1)
    store.run(saga_id("a"))
    store.runs_by_id([saga_id("a")])
    store.runs_by_prefix("12345678")
    store.runs_by_key("refund", "R")
    store.runs_by_origin("t", 0, 1)
    store.runs_open()
    store.load()
    for filters in (
        {}, {"status": "completed"}, {"status": "parked"}, {"saga": "s"}, {"key": "k"}, {"since": 5},
        {"before": (5, saga_id("a"))}, {"status": "parked", "saga": "s", "key": "k", "since": 1},
    ):  # fmt: skip
        store.runs(**filters)
    store.close()
    connection = sqlite3.connect(path)
    plans = {sql: connection.execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall() for sql, params in asked}
    connection.close()
    assert len(asked) == 15
    for sql, plan in plans.items():
        for step in (row[3] for row in plan):
            scanned = step.startswith("SCAN") and ("runs" in step or " r" in step or "origins" in step)
            assert not scanned or "USING" in step, (sql, plan)


def test_a_backup_taken_in_use_is_a_whole_store_and_a_restored_one_is_another(
    opened: Callable[..., SqliteStore], path: Path, tmp_path: Path
) -> None:
    store, copy = opened(), tmp_path / "copy.db"
    owner = Owner(store)
    owner.start("a", "b")
    store.append(Batch(dead_letters=(letter(1),)))
    store.backup(copy)
    owner.append(owner.part(0, [("a", 2)], changed=[change("a", status="completed")]))
    with pytest.raises(Conflict, match=r"copy\.db exists already"):
        store.backup(copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    before = store.incarnation()
    store.restore(copy)
    assert store.entries_from(0, after=0, limit=9) == [entry("a", 1, position=1), entry("b", 1, position=2)]
    assert store.incarnation() != before
    assert len(store.dead_letters()) == 1
    store.close()
    (lease,) = opened().claim("worker", "w", lease_ms=LEASE_MS, limit=1)
    assert (lease.epoch, lease.position, lease.head, lease.clean) == (1_000_002, 2, "head-2", False)
    (aside,) = path.parent.glob("amends.db.before-restore-*")
    assert len(opened(aside).entries_from(0, after=0, limit=9)) == 3


def test_nothing_is_restored_beside_a_running_coordinator(opened: Callable[..., SqliteStore], tmp_path: Path) -> None:
    store, other = opened(), opened()
    store.backup(tmp_path / "copy.db")
    Owner(store)
    with pytest.raises(Conflict):
        other.restore(tmp_path / "copy.db")


@pytest.mark.parametrize("what", [pytest.param("missing", id="missing"), pytest.param("text", id="not a database")])
def test_what_is_no_backup_is_not_restored(opened: Callable[..., SqliteStore], tmp_path: Path, what: str) -> None:
    store, source = opened(), tmp_path / "source.db"
    Owner(store).start("a")
    if what == "text":
        source.write_text("text " * 1_000)
    with pytest.raises(UsageError) as refused:
        store.restore(source)
    assert refused.value.code == "AM0317"
    assert len(store.entries_from(0, after=0, limit=9)) == 1


def test_a_backup_that_cannot_be_written_leaves_nothing(opened: Callable[..., SqliteStore], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        opened().backup(tmp_path / "no such folder" / "copy.db")
    assert refused.value.code == "AM0318"
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_writer_that_waits_too_long_says_so_and_has_done_nothing(
    opened: Callable[..., SqliteStore], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amends.connectors.stores.sqlite.connections.BUSY_TIMEOUT_S", 0.05)
    store = opened()
    hog = sqlite3.connect(path, isolation_level=None)
    hog.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as refused:
        store.publish([local("t")])
    hog.execute("ROLLBACK")
    hog.close()
    assert refused.value.code == "AM0310"
    assert store.publish([local("t")]) == [0]


def test_every_error_says_what_to_do_under_a_code_of_its_own() -> None:
    sample = {str: "that", int: 2, bool: True, Path: Path("there"), Sequence[str]: ["this"]}
    made = [
        make(**{name: sample[kind] for name, kind in get_type_hints(make).items() if name != "return"})
        for make in vars(faults).values()
        if isfunction(make)
    ]
    assert len({error.code for error in made}) == len(made) == 22
    for error in made:
        assert isinstance(error, AmendsError)
        assert re.fullmatch(r"error AM03\d\d: .+; .+", error.line())
