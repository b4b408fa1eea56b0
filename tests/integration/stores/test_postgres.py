"""PostgreSQL as it really is: leases that run out, sessions that protect, servers that go away, rights that lack."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from amends.connectors.stores import open_store
from amends.connectors.stores.postgres import PostgresLog, PostgresStore, connections
from amends.connectors.stores.postgres.connections import WRITER_SESSION, Datastore
from amends.coordinator.errors import AmendsError, StoreUnavailable, UsageError
from amends.coordinator.ports.rows import Batch, RelayWait, ShardAppend
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import LEASE_MS, Owner, change, entry, letter, local, message, origin, run, saga_id
from tests.integration.stores.proxy import Commit, Proxy
from tests.servers.postgres import PostgresServer, new_database
from tests.servers.waiting import wait_until


@pytest.fixture
def opened(postgres: str, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    stores: list[Store] = []

    def open_it(url: str = postgres, *, read_only: bool = False) -> Store:
        stores.append(open_store(url, data_dir=tmp_path, shards=2, read_only=read_only))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


@pytest.fixture
def admin(postgres: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


Admin = psycopg.Connection[tuple[object, ...]]


def test_a_lease_that_ran_out_is_another_owners(opened: Callable[..., Store]) -> None:
    store = opened()
    former = Owner(store, "w1")
    former.start("a")
    store.renew("worker", "w1", lease_ms=-1)
    first = store.claim("worker", "w2", lease_ms=LEASE_MS, limit=1)
    assert [(lease.shard, lease.epoch, lease.position, lease.clean) for lease in first] == [(0, 2, 1, False)]
    assert store.renew("worker", "w1", lease_ms=LEASE_MS) == [1]
    assert store.claim("worker", "w2", lease_ms=LEASE_MS, limit=9) == []


def test_a_shard_that_a_transaction_holds_is_passed_over_and_keeps_nobody_waiting(
    opened: Callable[..., Store], admin: Admin
) -> None:
    store = opened()
    with admin.transaction():
        admin.execute("SELECT 1 FROM amends.shards WHERE shard = 0 FOR UPDATE")
        assert [lease.shard for lease in store.claim("worker", "w1", lease_ms=LEASE_MS, limit=9)] == [1]
    assert [lease.shard for lease in store.claim("worker", "w1", lease_ms=LEASE_MS, limit=9)] == [0]


def test_leases_run_by_the_databases_clock(opened: Callable[..., Store], admin: Admin) -> None:
    store = opened()
    store.claim("worker", "w1", lease_ms=60_000, limit=1)
    expires_at = store.shards()[0].expires_at
    found = admin.execute("SELECT extract(epoch FROM clock_timestamp())::float").fetchone()
    assert found is not None
    assert expires_at is not None
    assert 55 < expires_at / 1e6 - float(str(found[0])) < 65


def test_every_session_protects_the_others(opened: Callable[..., Store], admin: Admin, postgres: str) -> None:
    opened()
    admin.execute(
        sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(urlsplit(postgres).path[1:]))
    )
    connection = Datastore(postgres).connect(session=WRITER_SESSION)
    names = ("synchronous_commit", "idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout",
             "tcp_keepalives_idle", "plan_cache_mode", "enable_seqscan", "application_name")  # fmt: skip
    found = {name: connection.execute(f"SHOW {name}").fetchone() for name in names}
    connection.close()
    assert [next(iter((row or {}).values())) for row in found.values()] == [
        "on", "5s", "30s", "10s", "5", "force_generic_plan", "off", "amends",
    ]  # fmt: skip


def test_the_url_may_say_otherwise(postgres: str) -> None:
    connection = Datastore(f"{postgres}?application_name=mine&keepalives_idle=9").connect()
    assert connection.execute("SHOW application_name").fetchone() == {"application_name": "mine"}
    connection.close()


def test_a_worker_frozen_between_update_and_commit_loses_its_shard_and_its_batch(
    opened: Callable[..., Store], postgres: str
) -> None:
    """For the server a frozen worker is one that says nothing: it ends the transaction, and the row is free."""
    direct = opened()
    with Proxy(postgres) as proxy:
        owner = Owner(opened(proxy.url), "frozen", limit=1)
        thaw = threading.Event()

        def freeze(commit: Commit) -> None:
            frozen.set()
            thaw.wait(30)
            commit.deliver()
            commit.lose_client()

        frozen = threading.Event()
        proxy.fates = [freeze]
        told: list[Exception] = []

        def try_it() -> None:
            try:
                owner.start("a")
            except Exception as error:  # noqa: BLE001  whatever it is, it is looked at
                told.append(error)

        appending = threading.Thread(target=try_it)
        appending.start()
        assert frozen.wait(20)
        assert direct.entries_from(0, after=0, limit=9) == []
        wait_until(
            lambda: expired_and_claimed(direct),
            within_s=20,
            what="the server has ended the frozen worker's transaction",
        )
        thaw.set()
        appending.join(30)
        assert [type(error).__name__ for error in told] == ["Fenced"]
        assert direct.entries_from(0, after=0, limit=9) == []


def expired_and_claimed(store: Store) -> bool:
    """As when the lease ends, which the frozen worker cannot prevent."""
    with psycopg.connect(**store._datastore.parameters, autocommit=True) as admin:  # type: ignore[attr-defined]
        admin.execute("SET lock_timeout = '100ms'")
        try:
            admin.execute("UPDATE amends.shards SET expires_at = 0 WHERE shard = 0")
        except psycopg.errors.LockNotAvailable:
            return False
    return [lease.shard for lease in store.claim("worker", "next", lease_ms=LEASE_MS, limit=1)] == [0]


@pytest.mark.timeout(120)
def test_a_store_comes_back_by_itself_with_its_server(own_postgres: PostgresServer, tmp_path: Path) -> None:
    with new_database(own_postgres.url) as url:
        store = open_store(url, data_dir=tmp_path, shards=2)
        owner = Owner(store)
        owner.start("a")
        uses: list[Callable[[], object]] = [
            lambda: owner.start("b"),
            lambda: store.entries_from(0, after=0, limit=9),
            lambda: store.run(saga_id("a")),
            lambda: list(store.open_entries(0)),
            store.change_mark,
            store.now,
            lambda: store.put_inbox([message("m")]),
            lambda: store.publish([local("t")]),
            lambda: store.renew("worker", "worker-1", lease_ms=LEASE_MS),
            lambda: store.beat("w", lease_ms=LEASE_MS),
        ]
        for use in uses[1:]:
            use()
        own_postgres.kill()
        for use in uses:
            with pytest.raises(StoreUnavailable) as away:
                use()
            assert away.value.code == "AM0301"
        own_postgres.start()
        for use in uses:
            use()
        assert [row.position for row in store.entries_from(0, after=0, limit=9)] == [1, 2]
        store.close()


@pytest.mark.timeout(120)
def test_a_server_that_stands_still_is_given_up(
    own_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_database(own_postgres.url) as url:
        store = open_store(f"{url}?connect_timeout=2", data_dir=tmp_path, shards=1)
        owner = Owner(store)
        owner.start("a")
        monkeypatch.setattr(connections, "ANSWER_S", 0.5)
        own_postgres.freeze()
        for use in (lambda: owner.start("b"), lambda: store.run(saga_id("a")), store.change_mark):
            with pytest.raises(StoreUnavailable):
                use()
        own_postgres.thaw()
        monkeypatch.undo()
        owner.start("b")
        assert [row.position for row in store.entries_from(0, after=0, limit=9)] == [1, 2]
        store.close()


@pytest.mark.timeout(120)
def test_appends_survive_their_connections_being_ended_all_the_time(opened: Callable[..., Store], admin: Admin) -> None:
    """Thirty a second, under three writers: what was acknowledged is there, once, and nobody is fenced for it."""
    store = opened()
    admin.execute("INSERT INTO amends.shards VALUES (2, NULL, 0, NULL, 0, '', true)")
    owners = [Owner(opened(), f"w{number}", limit=1) for number in range(3)]
    acknowledged: list[str] = []
    enough = threading.Event()
    failed: list[Exception] = []

    def write(owner: Owner, shard: int) -> None:
        for batch in count():
            names = [f"{shard}-{batch}-{number}" for number in range(3)]
            part = owner.part(shard, [(name, 1) for name in names], started=[run(name, shard=shard) for name in names])
            if enough.is_set() or not appended_in_the_end(owner, part, failed):
                return
            acknowledged.extend(names)

    writers = [threading.Thread(target=write, args=(owner, shard)) for shard, owner in enumerate(owners)]
    for thread in writers:
        thread.start()
    ended = 0
    pause = threading.Event()
    while ended < 120 and not failed:
        found = admin.execute(
            """SELECT count(pg_terminate_backend(pid)) FROM (
                SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                ORDER BY random() LIMIT 1) one"""
        ).fetchone()
        ended += int(str(found[0])) if found else 0
        pause.wait(0.03)
    enough.set()
    for thread in writers:
        thread.join(20)
    assert failed == []
    assert len(acknowledged) > 300
    for shard in range(3):
        positions = [row.position for row in store.entries_from(shard, after=0, limit=99_999)]
        assert positions == list(range(1, len(positions) + 1))
    assert {row.saga_id for row in store.runs(limit=99_999)} == {saga_id(name) for name in acknowledged}


def appended_in_the_end(owner: Owner, part: ShardAppend, failed: list[Exception]) -> bool:
    while True:
        try:
            owner.append(part)
            return True
        except StoreUnavailable:
            continue
        except Exception as error:  # noqa: BLE001  any other is the failure we look for
            failed.append(error)
            return False


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        pytest.param((":[^:@]*@", ":wr0ng@"), "AM0302", "password authentication failed", id="password"),
        pytest.param(("//[^:]*:", "//nobody:"), "AM0302", "nobody", id="user"),
        pytest.param(("/[^/]*$", "/missing"), "AM0303", "missing", id="database"),
        pytest.param((r":\d+/", ":1/"), "AM0301", "refused", id="port"),
        pytest.param(("@[^/]*", "@nowhere.invalid"), "AM0301", "cannot be reached", id="host"),
    ],
)
def test_what_is_wrong_with_the_address_is_told_apart(
    postgres: str, tmp_path: Path, wrong: tuple[str, str], code: str, says: str
) -> None:
    url = re.sub(*wrong, postgres)
    with pytest.raises(AmendsError, match=says) as refused:
        open_store(url, data_dir=tmp_path)
    assert (refused.value.code, refused.value.exit_code) == (code, 2)
    assert isinstance(refused.value, StoreUnavailable) == (code == "AM0301")
    assert str(urlsplit(url).password) not in refused.value.line()


def test_no_error_shows_a_password(tmp_path: Path) -> None:
    for url in (
        "postgresql://me:s3cret@/x@host/db?nonsense=1",
        "postgresql://me:s3cret@127.0.0.1:1/db",
        "postgresql://127.0.0.1:notaport/db?user=me&password=s3cret",
        "mysql://me:s3cret@host/db",
    ):
        with pytest.raises(AmendsError) as refused:
            open_store(url, data_dir=tmp_path)
        assert "s3cret" not in refused.value.line()


def test_a_store_of_a_newer_version_is_refused(opened: Callable[..., Store], admin: Admin) -> None:
    opened()
    admin.execute("UPDATE amends.store SET version = 99")
    with pytest.raises(UsageError) as refused:
        opened()
    assert refused.value.code == "AM0304"


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_store_of_an_older_version_is_brought_up_with_all_it_holds(
    opened: Callable[..., Store], admin: Admin, version: int
) -> None:
    first = opened()
    letters = letter(1), letter(2, key=None, value=None), letter(3, saga="ship")
    Owner(first).start("a", "b")
    first.append(Batch(dead_letters=letters))
    tables = ("subjects", "subject_runs", "messages", "awaited", "archived", "locks")
    admin.execute(f"DROP TABLE {', '.join(f'amends.{table}' for table in tables)}")
    admin.execute("DELETE FROM amends.counters WHERE name = 'locks'")
    if version < 3:
        admin.execute("DROP INDEX amends.dead_letters_once")
        admin.execute("ALTER TABLE amends.dead_letters DROP COLUMN digest")
        admin.execute(
            """CREATE UNIQUE INDEX dead_letters_place
            ON amends.dead_letters (topic, partition, "offset", coalesce(saga, ''))"""
        )
    if version == 1:
        admin.execute("DROP TABLE amends.relay_waits")
    admin.execute(f"UPDATE amends.store SET version = {version}")
    store = opened()
    assert store.runs() == first.runs()
    store.append(Batch(dead_letters=(*letters, letter(1, value=b"other"))))
    assert [(row.offset, row.value) for row in store.dead_letters()][3:] == [(1, b"other")]
    store.relay_waits_at(wait := RelayWait(shard=0, position=1, why="AM4107", since=1))
    assert first.relay_waits() == [wait]
    assert store.subjects() == []


def test_another_programs_tables_are_left_alone(opened: Callable[..., Store], admin: Admin) -> None:
    admin.execute("CREATE SCHEMA amends")
    admin.execute("CREATE TABLE amends.runs (theirs text)")
    with pytest.raises(UsageError) as refused:
        opened()
    assert refused.value.code == "AM0306"


def test_a_user_who_may_not_make_the_store_is_told_what_is_missing(
    opened: Callable[..., Store], admin: Admin, postgres: str
) -> None:
    admin.execute("DROP ROLE IF EXISTS poor")
    admin.execute("CREATE ROLE poor LOGIN PASSWORD 'poor'")
    admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO poor").format(sql.Identifier(urlsplit(postgres).path[1:])))
    at = urlsplit(postgres)
    url = at._replace(netloc=f"poor:poor@{at.hostname}:{at.port}").geturl()
    with pytest.raises(UsageError, match="grant CREATE") as refused:
        opened(url)
    assert refused.value.code == "AM0320"
    admin.execute("CREATE SCHEMA amends AUTHORIZATION poor")
    assert opened(url).runs() == []
    admin.execute("DROP OWNED BY poor")
    admin.execute("DROP ROLE poor")


def test_workers_that_start_at_once_make_one_store(postgres: str, tmp_path: Path) -> None:
    made: list[str] = []

    def start() -> None:
        store = open_store(postgres, data_dir=tmp_path)
        made.append(store.incarnation())
        store.close()

    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 5
    assert len(set(made)) == 1


def test_a_store_opened_for_reading_refuses_to_write(opened: Callable[..., Store]) -> None:
    store = opened(read_only=True)
    with pytest.raises(UsageError, match="opened for reading"):
        store.put_inbox([message("m")])
    with pytest.raises(UsageError, match="opened for reading"):
        store.append(Batch(dead_letters=(letter(1),)))


def test_the_library_reads_the_log_and_cannot_write_past_the_fence(opened: Callable[..., Store], postgres: str) -> None:
    owner = Owner(opened())
    owner.start("a", "b")
    owner.append(owner.part(0, [("a", 2)], changed=[change("a")]))
    log = PostgresLog(Datastore(postgres))
    assert [event.state for event in log.select_events(saga_id("a"))] == [
        entry("a", n, position=n).data for n in (1, 2)
    ]
    assert [row.id for row in log.select_notifications(None, 10)] == [1, 2, 3]
    assert log.max_notification_id() == 3
    with pytest.raises(NotImplementedError, match="compare-and-set"):
        log.insert_events(log.select_events(saga_id("a")))
    log.datastore.close()


def test_text_that_postgresql_cannot_hold_stands_in_no_runs_way(opened: Callable[..., Store]) -> None:
    owner = Owner(opened())
    row = run("a", idempotency_key="a\0b", business_key="\0", offset=1)
    owner.append(owner.part(0, [("a", 1)], started=[row]))
    store = opened()
    assert [found.saga_id for found in store.runs_by_key("refund", "a\0b")] == [row.saga_id]
    assert [found.saga_id for found in store.runs(key="\0")] == [row.saga_id]
    assert store.entries_of(row.saga_id) == [entry("a", 1, position=1)]


def test_every_look_up_of_runs_goes_by_an_index(postgres: str, admin: Admin) -> None:
    asked: list[tuple[str, list[object]]] = []

    class Listening(PostgresStore):
        def _rows(self, sql: str, params: Sequence[object] = ()) -> list[object]:
            asked.append((sql.replace("?", "%s"), list(params)))
            return super()._rows(sql, params)

    store = Listening(postgres)
    store.migrate(shards=1)
    store.run(saga_id("a"))
    store.runs_by_id([saga_id("a")])
    store.runs_by_prefix("12345678")
    store.runs_by_key("refund", "R")
    store.runs_by_origin("t", 0, 1)
    store.generations("default", "refund", ["R", "S"])
    store.accounted("default", "refund", [origin(1), origin(2)])
    store.runs_open()
    store.load()
    for filters in (
        {}, {"status": "completed"}, {"status": "parked"}, {"saga": "s"}, {"key": "k"}, {"since": 5},
        {"before": (5, saga_id("a"))}, {"status": "parked", "saga": "s", "key": "k", "since": 1},
    ):  # fmt: skip
        store.runs(**filters)
    store.close()
    assert len(asked) == 17
    admin.execute("SET search_path = amends")
    admin.execute("SET enable_seqscan = off")
    for query, params in asked:
        plan = "\n".join(str(row[0]) for row in admin.execute(f"EXPLAIN {query}".encode(), params))
        assert not re.search(r"Seq Scan on (runs|origins)", plan), plan


def test_backups_are_postgresqls_own_business(opened: Callable[..., Store], postgres: str, tmp_path: Path) -> None:
    store = opened()
    Owner(store).start("a")
    assert isinstance(store, PostgresStore)
    with pytest.raises(UsageError, match="pg_dump") as refused:
        store.backup(tmp_path / "copy")
    with pytest.raises(UsageError, match="pg_restore"):
        store.restore(tmp_path / "copy")
    before, epoch = store.incarnation(), store.shards()[0].epoch
    with psycopg.connect(postgres, autocommit=True) as connection:
        for statement in re.findall(r"UPDATE [^;]+", refused.value.do):
            connection.execute(statement.encode())
    assert store.incarnation() != before
    assert store.shards()[0].epoch > epoch
    assert store.claim("worker", "w", lease_ms=LEASE_MS, limit=1)[0].clean is False


def test_without_the_extra_the_command_that_installs_it_is_named(tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["psycopg"] = None
from pathlib import Path
from amends.connectors.stores import open_store
try:
    open_store("postgresql://host/db", data_dir=Path({str(tmp_path)!r}))
except Exception as error:
    print(error.line())
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert said.stdout.startswith("error AM0312: ")
    assert "pip install 'amends[postgres]'" in said.stdout


def test_the_embedded_store_loads_nothing_of_postgresql(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from amends.connectors.stores import open_store
open_store("sqlite:///{tmp_path}/amends.db", data_dir=Path({str(tmp_path)!r})).close()
print([name for name in sys.modules if name.startswith("psycopg")])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert said.stdout == "[]\n"
