"""`Sql` on SQLite and PostgreSQL: it keeps every promise of the kit, and what a handler forgets does not act twice."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from threading import Event
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from amends.connectors.sending import EffectInPart
from amends.connectors.sql import Sql, Transaction
from amends.coordinator.attempt import Attempt, attempting
from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown
from amends.coordinator.loop_resources import close_all
from amends.coordinator.testing import connector_kit
from amends.coordinator.testing.attempts import attempt_at, new_saga_id, step_key
from amends.coordinator.testing.connector_kit import Check, Subject
from amends.schemas.events import EvidenceRecorded
from tests.contract.connectors.databases import Database
from tests.contract.connectors.proxy import Proxy, proxy_to

STOCK = Sql("stock", url="${env:AMENDS_TEST_STOCK}")


class Taken(BaseModel):
    thing: str
    number: int


def on_sqlite() -> bool:
    return os.environ["AMENDS_TEST_STOCK"].startswith("sqlite")


def take(thing: str, tx: Transaction) -> Taken:
    tx.execute("INSERT INTO stock VALUES (?, 3) ON CONFLICT DO NOTHING", (thing,))
    row = tx.fetch_one(
        "UPDATE stock SET free = free - 1 WHERE thing = :thing AND free > 0 RETURNING free", {"thing": thing}
    )
    if row is None:
        raise StepRefused("none left", kind="sold_out")
    tx.execute("INSERT INTO movements VALUES (?, 'take')", (thing,))
    return Taken(thing=thing, number=3 - row["free"])


def give_back(thing: str, tx: Transaction) -> None:
    assert tx.step_result(Taken).thing == thing
    tx.execute("UPDATE stock SET free = free + 1 WHERE thing = ?", (thing,))
    tx.execute("INSERT INTO movements VALUES (?, 'give')", (thing,))


async def do(thing: str) -> Taken:
    return await STOCK.perform(partial(take, thing), returns=Taken)


@asynccontextmanager
async def sold_out(thing: str) -> AsyncIterator[None]:
    database = Database.__new__(Database)
    database.url, database.mark = os.environ["AMENDS_TEST_STOCK"], "?" if on_sqlite() else "%s"
    insert = "INSERT INTO stock VALUES (?, 0) ON CONFLICT (thing) DO UPDATE SET free = 0"
    await asyncio.to_thread(database.execute, insert, thing)
    yield
    await asyncio.to_thread(database.execute, "UPDATE stock SET free = 3 WHERE thing = ?", thing)


@asynccontextmanager
async def nobody_there(_thing: str) -> AsyncIterator[None]:
    there = os.environ["AMENDS_TEST_STOCK"]
    os.environ["AMENDS_TEST_STOCK"] = "sqlite:////no.db" if on_sqlite() else "postgresql://nobody@127.0.0.1:1/nowhere"
    yield
    os.environ["AMENDS_TEST_STOCK"] = there


def subject_on(database: Database | None) -> Subject:
    async def never(_thing: str) -> int:
        raise AssertionError("only called with a database")

    return Subject(
        dependency=STOCK,
        do=do,
        undo=lambda thing: STOCK.undo(partial(give_back, thing)),
        lookup=lambda _thing: STOCK.lookup(returns=Taken),
        applied=database.applied if database else never,
        undone=database.undone if database else never,
        refuses=sold_out,
        unreachable=nobody_there,
        fences=True,
    )


@pytest.mark.parametrize("check", connector_kit.checks_of(subject_on(None)), ids=str)
async def test_sql_keeps_its_promises(check: Check, database: Database) -> None:
    await check.run(subject_on(database))


@pytest.fixture
def thing(database: Database) -> str:
    return f"t-{uuid4().hex[:8]}"


def step(**changes: object) -> Attempt:
    return attempt_at(new_saga_id(), **changes)  # type: ignore[arg-type]


async def test_all_of_the_work_is_rolled_back_when_it_raises(database: Database, thing: str) -> None:
    def fails(tx: Transaction) -> None:
        take(thing, tx)
        raise KeyError(thing)

    with attempting(step()) as attempt, pytest.raises(StepUnavailable, match="KeyError") as caught:
        await STOCK.perform(fails)
    assert caught.value.kind == "exception"
    assert await database.applied(thing) == 0
    assert not attempt.acted


async def test_a_refusal_is_kept_under_its_key_and_a_new_key_is_free(database: Database, thing: str) -> None:
    saga_id = new_saga_id()
    async with sold_out(thing):
        with attempting(attempt_at(saga_id)), pytest.raises(StepRefused, match="none left"):
            await do(thing)
    with attempting(attempt_at(saga_id, number=2)), pytest.raises(StepRefused, match="none left") as caught:
        await do(thing)
    assert caught.value.kind == "sold_out"
    with attempting(attempt_at(saga_id, number=3, generation=1)):
        assert (await do(thing)).number == 1
    assert await database.applied(thing) == 1


async def test_a_broken_constraint_is_a_refusal_that_names_it_and_no_value(database: Database, thing: str) -> None:
    def overdraw(tx: Transaction) -> None:
        take(thing, tx)
        tx.execute("UPDATE stock SET free = -1 WHERE thing = ?", (thing,))

    with attempting(step()), pytest.raises(StepRefused) as caught:
        await STOCK.perform(overdraw)
    assert "free" in str(caught.value)
    assert thing not in str(caught.value)
    assert await database.applied(thing) == 0


@pytest.mark.parametrize("statement", ["COMMIT", " rollback", "/* x */ BEGIN", "-- x\nEND", "SAVEPOINT s", "release s"])
async def test_the_work_cannot_end_its_transaction(database: Database, thing: str, statement: str) -> None:
    def ends(tx: Transaction) -> None:
        take(thing, tx)
        tx.execute(statement)

    with attempting(step()), pytest.raises(UsageError, match="leave the transaction to Sql") as caught:
        await STOCK.perform(ends)
    assert caught.value.code == "AM2006"
    assert await database.applied(thing) == 0


async def _async_work(_tx: Transaction) -> None: ...


def _wrong_result(_tx: Transaction) -> int:
    return 5


@pytest.mark.parametrize(
    ("work", "error"),
    [
        pytest.param(_async_work, UsageError, id="async work is refused, not forgotten"),
        pytest.param(_wrong_result, StepRefused, id="a result nobody declared is refused, not lost"),
    ],
)
async def test_work_that_cannot_be_kept_does_nothing(
    database: Database, thing: str, work: Callable[[Transaction], None], error: type[Exception]
) -> None:
    with attempting(step()) as attempt, pytest.raises(error):
        await STOCK.perform(work)
    with attempting(attempt_at(attempt.saga_id, role="lookup")):
        assert not await STOCK.lookup()


async def test_a_transaction_that_escapes_is_of_no_use(database: Database, thing: str) -> None:
    escaped: list[Transaction] = []

    def keep(tx: Transaction) -> None:
        escaped.append(tx)

    with attempting(step()):
        await STOCK.perform(keep)
    with pytest.raises(UsageError, match="after its work had ended"):
        escaped[0].execute("SELECT 1")


async def test_forgetting_a_part_is_an_error_and_naming_it_works(database: Database, thing: str) -> None:
    saga_id = new_saga_id()
    with attempting(attempt_at(saga_id)):
        await do(thing)
        with pytest.raises(UsageError, match="second effect under one key"):
            await do(thing)
        await STOCK.perform(partial(take, thing), returns=Taken, part="b")
    assert await database.applied(thing) == 2
    with attempting(attempt_at(saga_id, role="undo", undo=True)):
        assert await STOCK.undo(partial(give_back, thing), part="b")
        assert not await STOCK.undo(partial(give_back, thing), part="never done")
    assert await database.undone(thing) == 1


async def test_what_the_work_of_an_undo_returns_does_not_count(database: Database, thing: str) -> None:
    saga_id = new_saga_id()
    with attempting(attempt_at(saga_id)):
        await do(thing)
    with attempting(attempt_at(saga_id, role="undo", undo=True)):
        statement = "INSERT INTO movements VALUES (?, 'give')"
        assert await STOCK.undo(lambda tx: tx.execute(statement, (thing,)))
    assert await database.undone(thing) == 1


async def test_a_step_that_returns_something_says_so(database: Database, thing: str) -> None:
    statement = "INSERT INTO movements VALUES (?, 'take')"
    with attempting(step()), pytest.raises(StepRefused, match="returned a value of type int, but no returns= was"):
        await STOCK.perform(lambda tx: tx.execute(statement, (thing,)))  # type: ignore[arg-type]
    with attempting(step()), pytest.raises(StepRefused, match="type int, but returns= says another type"):
        await STOCK.perform(lambda tx: tx.execute(statement, (thing,)), returns=str)  # type: ignore[arg-type, return-value]
    assert await database.applied(thing) == 0


async def test_undo_and_perform_are_not_mixed_up(database: Database, thing: str) -> None:
    with attempting(step(role="undo", undo=True)):
        with pytest.raises(UsageError, match="perform was called in an undo"):
            await do(thing)
        await STOCK.perform(partial(take, thing), returns=Taken, independent=True)
    with attempting(step()), pytest.raises(UsageError, match="undo was called outside an undo"):
        await STOCK.undo(partial(give_back, thing))
    assert await database.applied(thing) == 1
    assert await database.undone(thing) == 0


async def test_the_same_key_with_other_arguments_is_no_repetition(database: Database, thing: str) -> None:
    attempt = step()
    other = replace(step(), idempotency_key=attempt.idempotency_key, arguments="sha256:other")
    with attempting(attempt):
        await do(thing)
    with attempting(other), pytest.raises(UsageError, match="other arguments"):
        await do(thing)
    assert await database.applied(thing) == 1


async def test_reading_changes_nothing(database: Database, thing: str) -> None:
    with attempting(step()):
        await do(thing)
    with attempting(step(role="verify")):
        found = await STOCK.read(lambda tx: tx.fetch_all("SELECT free FROM stock WHERE thing = ?", (thing,)))
        assert found == [{"free": 2}]
        with pytest.raises(StepUnavailable):
            await STOCK.read(lambda tx: tx.execute("UPDATE stock SET free = 0"))
    with attempting(step(role="verify")) as attempt, pytest.raises(StepRefused) as caught:
        await do(thing)
    assert caught.value.kind == "permission_denied"
    assert attempt.notes
    assert await database.applied(thing) == 1


async def test_a_lookup_shuts_out_the_owner_before(database: Database, thing: str) -> None:
    saga_id = new_saga_id()
    with attempting(attempt_at(saga_id, role="lookup", epoch=8)):
        assert await STOCK.lookup(returns=Taken) is None
    with attempting(attempt_at(saga_id, epoch=7)), pytest.raises(StepRefused) as caught:
        await do(thing)
    assert caught.value.kind == "fenced"
    with attempting(attempt_at(saga_id, epoch=8, number=2)):
        await do(thing)
    assert await database.applied(thing) == 1


async def test_a_lookup_waits_for_a_transaction_that_still_decides(database: Database, thing: str) -> None:
    saga_id, inside, go_on = new_saga_id(), Event(), Event()

    def slowly(tx: Transaction) -> Taken:
        taken = take(thing, tx)
        inside.set()
        assert go_on.wait(10)
        return taken

    async def act() -> Taken:
        with attempting(attempt_at(saga_id)):
            return await STOCK.perform(slowly, returns=Taken)

    async def ask() -> Taken | None:
        with attempting(attempt_at(saga_id, role="lookup")):
            return await STOCK.lookup(returns=Taken)

    acting = asyncio.create_task(act())
    assert await asyncio.to_thread(inside.wait, 10)
    asking = asyncio.create_task(ask())
    assert not (await asyncio.wait({asking}, timeout=0.2))[0], "it answered before it could know"
    go_on.set()
    assert await asking == await acting


async def test_without_a_lease_at_the_end_nothing_is_committed(database: Database, thing: str) -> None:
    left = iter([1.0, 0.0])
    attempt = replace(step(), lease_left_s=lambda: next(left))
    with attempting(attempt), pytest.raises(StepUnavailable, match="lease"):
        await do(thing)
    assert await database.applied(thing) == 0


async def test_a_cancelled_attempt_ends_when_its_thread_has_and_commits_nothing(database: Database, thing: str) -> None:
    inside, go_on, ended = Event(), Event(), Event()

    def slowly(tx: Transaction) -> None:
        take(thing, tx)
        inside.set()
        go_on.wait(10)
        ended.set()

    async def act() -> None:
        with attempting(step()):
            await STOCK.perform(slowly)

    acting = asyncio.create_task(act())
    assert await asyncio.to_thread(inside.wait, 10)
    acting.cancel()
    assert not (await asyncio.wait({acting}, timeout=0.2))[0], "the attempt ended before its thread"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await acting
    assert ended.is_set()
    assert await database.applied(thing) == 0


async def test_a_rival_that_holds_the_lock_is_waited_for_no_longer_than_the_attempt_lasts(
    database: Database, thing: str
) -> None:
    with database.held():
        with attempting(step(within_s=0.5)) as attempt, pytest.raises(StepUnavailable):
            await do(thing)
        assert not attempt.acted
    with attempting(step()):
        await do(thing)


async def test_after_an_effect_no_failure_of_a_later_call_is_called_definite(database: Database, thing: str) -> None:
    with attempting(step()):
        await do(thing)
        with pytest.raises(EffectInPart, match=r"SQLITE_ERROR|SyntaxError 42601"):
            await STOCK.read(lambda tx: tx.fetch_one("SELECT nonsense FROM"))


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("statement", "values", "says"),
    [
        pytest.param("SELECT 1 FROM stocks", (), r"no such table: stocks|relation .stocks. does not exist", id="table"),
        pytest.param("SELECT sku FROM stock", (), r"no such column: sku|column .sku. does not exist", id="column"),
        pytest.param("SELECT ?", ("a", "b"), r"Incorrect number of bindings|1 placeholder", id="values"),
    ],
)
async def test_a_wrong_statement_is_told_by_what_it_names(statement: str, values: tuple[str, ...], says: str) -> None:
    with attempting(step()), pytest.raises(StepUnavailable, match=says) as caught:
        await STOCK.read(lambda tx: tx.fetch_one(statement, values))
    assert caught.value.kind == "exception"


@pytest.mark.usefixtures("database")
async def test_a_wrong_statement_is_not_quoted() -> None:
    with attempting(step()), pytest.raises(StepUnavailable) as caught:
        await STOCK.read(lambda tx: tx.fetch_one("SELECT 'c0nfidential' FORM stock WHERE"))
    assert "c0nfidential" not in caught.value.reason
    assert "FORM" not in caught.value.reason


async def test_evidence_names_the_row_under_which_it_stands(database: Database, thing: str) -> None:
    saga_id = new_saga_id()
    with attempting(attempt_at(saga_id)) as attempt:
        await STOCK.perform(partial(take, thing), returns=Taken, external_id="number")
    (note,) = attempt.notes
    assert isinstance(note, EvidenceRecorded)
    assert (note.tool, note.action, note.status, note.external_id) == ("stock", "perform", "done", "1")
    assert note.resource == f"amends_inbox/{step_key(saga_id)}"
    found = database.execute("SELECT state, path, direction FROM amends_inbox WHERE key = ?", step_key(saga_id))
    assert found == [("done", "act", "forward")]


async def test_many_at_once_come_to_what_one_after_another_would(database: Database, thing: str) -> None:
    async def one() -> int | None:
        with attempting(step()):
            try:
                return (await do(thing)).number
            except StepRefused:
                return None

    numbers = await asyncio.gather(*(one() for _ in range(12)))
    assert sorted(number for number in numbers if number) == [1, 2, 3]
    assert await database.applied(thing) == 3


@pytest.fixture
async def through_a_proxy(postgres: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Database, Proxy]]:
    """Give a PostgreSQL database that the connector reaches through a proxy."""
    database, parts = Database(postgres), urlsplit(postgres)
    assert parts.port is not None
    async with proxy_to(parts.port) as proxy:
        address = f"{parts.netloc.rpartition(':')[0]}:{proxy.port}"
        # Unencrypted, so that the proxy can read along.
        monkeypatch.setenv("AMENDS_TEST_STOCK", parts._replace(netloc=address, query="sslmode=disable").geturl())
        with attempting(step()):
            await do("first of all")  # it makes the inbox, in a transaction of its own
        yield database, proxy
        await close_all()


@pytest.mark.postgres
async def test_a_lost_reply_to_commit_is_settled_by_the_inbox(through_a_proxy: tuple[Database, Proxy]) -> None:
    database, proxy = through_a_proxy
    proxy.lose_after = [b"COMMIT"]
    with attempting(step()) as attempt:
        assert await do("a") == Taken(thing="a", number=1)
    assert proxy.lost == 1
    assert [note.status for note in attempt.notes if isinstance(note, EvidenceRecorded)] == ["repeated"]
    assert await database.applied("a") == 1


@pytest.mark.postgres
async def test_a_connection_that_breaks_before_commit_has_done_nothing(through_a_proxy: tuple[Database, Proxy]) -> None:
    database, proxy = through_a_proxy
    proxy.lose_after = [b"RELEASE"] * 3
    with attempting(step()) as attempt, pytest.raises(StepUnavailable, match="nothing was committed"):
        await do("a")
    assert proxy.lost == 3
    assert not attempt.acted
    assert await database.applied("a") == 0


@pytest.mark.postgres
async def test_a_commit_whose_reply_is_lost_each_time_stays_in_doubt(through_a_proxy: tuple[Database, Proxy]) -> None:
    database, proxy = through_a_proxy
    saga_id = new_saga_id()
    proxy.lose_after = [b"COMMIT"] * 3
    with attempting(attempt_at(saga_id)) as attempt, pytest.raises(StepUnknown, match="COMMIT was lost"):
        await do("a")
    assert attempt.acted
    with attempting(attempt_at(saga_id, role="lookup")):
        assert await STOCK.lookup(returns=Taken) == Taken(thing="a", number=1)
    assert await database.applied("a") == 1


@pytest.mark.postgres
async def test_a_session_that_dies_in_commit_leaves_doubt(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(postgres)
    monkeypatch.setenv("AMENDS_TEST_STOCK", postgres)
    database.execute(
        """CREATE FUNCTION end_the_session() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"""
    )
    # Deferred to COMMIT: the session dies while it commits, and the client cannot know which way that went.
    database.execute(
        """CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON movements DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (new.thing LIKE 'dies%') EXECUTE FUNCTION end_the_session()"""
    )
    with attempting(step()) as attempt, pytest.raises(StepUnknown, match="COMMIT was lost"):
        await do("dies-always")
    assert attempt.acted
    assert await database.applied("dies-always") == 0


@pytest.mark.postgres
async def test_a_connection_that_died_while_idle_is_replaced(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(postgres)
    monkeypatch.setenv("AMENDS_TEST_STOCK", postgres)
    with attempting(step()):
        await do("a")
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'amends'")
    with attempting(step()):
        await do("a")
    assert await database.applied("a") == 2
