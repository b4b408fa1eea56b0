"""A participant that is PostgreSQL is rehearsed on a real server, in a database of its own; or it says how."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import BaseModel

from amends import Context, Participant, Pending, Saga, Sql, Topic
from amends.connectors.sql import Transaction
from amends.coordinator.errors import UsageError
from amends.participant import Service
from amends.testing import ParticipantStandIn, Rehearsal, Sandbox, SqlStandIn, crash_matrix, rehearse

SCRIPT = """
CREATE SCHEMA shop;
CREATE TYPE state AS ENUM ('free', 'taken');
CREATE TABLE shop.seats (hall INT, seat INT, state state NOT NULL, price NUMERIC(8, 2), PRIMARY KEY (hall, seat));
CREATE TABLE tickets (number SERIAL PRIMARY KEY, seat INT, tags TEXT[], at TIMESTAMPTZ DEFAULT now());
INSERT INTO shop.seats VALUES (1, 7, 'free', 12.50), (1, 8, 'taken', 1.00);
"""
SERVER = "${env:REHEARSAL_DATABASE}"


class Visit(BaseModel):
    id: str
    seat: int


@pytest.fixture
def server(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server for tests; nothing but what was there before is there afterwards."""
    before = databases(postgres)
    monkeypatch.setenv("REHEARSAL_DATABASE", postgres)
    yield postgres
    assert databases(postgres) == before


def databases(url: str) -> set[str]:
    with closing(psycopg.connect(url)) as connection:
        found = connection.execute("SELECT datname FROM pg_database").fetchall()
        return {name for (name,) in found if name.startswith("amends_rehearsal_")}


def theater(*, careful: bool, database: str | None = SERVER) -> Sandbox:
    """Its statements are PostgreSQL's own. The careless undo gives a seat back and keeps the ticket."""
    seats = Sql("seats", url="postgresql://theater@db.example.com/theater")
    saga = Saga("visit", trigger=Topic("visits", Visit, idempotency_key="id"))

    @saga.action(dependency=seats)
    async def take(trigger: Visit) -> int:
        def work(tx: Transaction) -> int:
            tx.execute("UPDATE shop.seats SET state = 'taken'::state WHERE seat = ?", (trigger.seat,))
            row = tx.fetch_one(
                "INSERT INTO tickets (seat, tags) VALUES (?, ARRAY['a']) RETURNING number", (trigger.seat,)
            )
            return int(row["number"]) if row else 0

        return await seats.perform(work, returns=int)

    @take.undo(verify="reply")
    async def give_back(trigger: Visit) -> None:
        def work(tx: Transaction) -> None:
            tx.execute("UPDATE shop.seats SET state = 'free'::state WHERE seat = ?", (trigger.seat,))
            if careful:
                tx.execute("DELETE FROM tickets WHERE seat = ?", (trigger.seat,))

        await seats.undo(work)

    stand_in = SqlStandIn(seats, script=SCRIPT, database=database, without=("tickets.at",))
    return Sandbox(saga, triggers=[Visit(id="V-1", seat=7)], stand_ins=[stand_in])


@pytest.mark.timeout(240)
def test_an_undo_on_postgresql_brings_the_world_back_or_is_found(server: str) -> None:
    mended = rehearse(theater(careful=True))
    assert mended.findings == (), mended
    assert mended.undone["take"] > 20
    found = rehearse(theater(careful=False), scenarios_max=12)
    first = next(each for each in found.errors if each.kind == "not_restored")
    assert [str(each) for each in first.differences] == [
        'seats.tickets.1 was not there, is {"seat": 7, "tags": ["a"]}',
    ]


@pytest.mark.timeout(240)
def test_a_crash_leaves_one_world_on_postgresql(server: str) -> None:
    found = crash_matrix(theater(careful=True))
    assert found.ok, found


@pytest.mark.timeout(240)
def test_a_service_on_postgresql_is_rehearsed_there(server: str) -> None:
    box = Participant("box", commands="box.commands", replies="box.replies")
    service = Service(
        "box", commands="box.commands", replies="box.replies", database="postgresql://box@db.example.com/b"
    )
    saga = Saga("visit", trigger=Topic("visits", Visit, idempotency_key="id"))

    @saga.action(dependency=box, pending_within="10m")
    async def take(ctx: Context, trigger: Visit) -> int | Pending:
        return await box.send(ctx, "take", trigger.seat)

    @take.undo(verify="reply", pending_within="10m")
    async def give_back(ctx: Context, trigger: Visit) -> Pending:
        return await box.send(ctx, "give_back", trigger.seat)

    @service.on("take")
    def taken(tx: Transaction, seat: int) -> int:
        return tx.execute("UPDATE shop.seats SET state = 'taken'::state WHERE seat = ?", (seat,))

    @service.on("give_back")
    def given_back(tx: Transaction, seat: int) -> None:
        tx.execute("UPDATE shop.seats SET state = 'free'::state WHERE seat = ?", (seat,))

    stand_in = ParticipantStandIn(box, service, script=SCRIPT, database=SERVER)
    found = rehearse(Sandbox(saga, triggers=[Visit(id="V-1", seat=7)], stand_ins=[stand_in]))
    assert found.findings == (), found
    assert found.undone["take"] > 20


def test_a_world_is_shown_in_what_its_columns_hold(server: str) -> None:
    stand_in = SqlStandIn("seats", script=SCRIPT, database=SERVER, without=("tickets.at",))
    try:
        address = urlsplit(stand_in.begin() or "")
        assert address.path.startswith("/amends_rehearsal_")
        assert address.path.strip("/") in databases(server)
        assert stand_in.snapshot() == {
            "shop.seats": {"1/7": {"state": "free", "price": "12.50"}, "1/8": {"state": "taken", "price": "1.00"}},
            "tickets": {},
        }
        with closing(psycopg.connect(address.geturl(), autocommit=True)) as handlers:
            handlers.execute("DELETE FROM shop.seats")
            handlers.execute("CREATE TABLE more (n INT)")
            handlers.execute("INSERT INTO more VALUES (2), (1), (2)")
        assert list(stand_in.snapshot()["more"]) == ["n=1", "n=2", "n=2 (2)"]  # type: ignore[index]
        stand_in.begin()
        assert sorted(stand_in.snapshot()) == ["shop.seats", "tickets"]  # type: ignore[call-overload]
    finally:
        stand_in.end()


def refused(sandbox: Sandbox) -> Any:
    with pytest.raises(UsageError) as found:
        assert isinstance(rehearse(sandbox), Rehearsal)
    return found.value


def test_where_nobody_says_which_database_stands_in_it_is_said_how() -> None:
    error = refused(theater(careful=True, database=None))
    assert error.code == "AM5109"
    assert 'database="${env:REHEARSAL_DATABASE}"' in error.line()


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        pytest.param(None, "AM2002", "REHEARSAL_DATABASE", id="it is not set"),
        pytest.param("mysql://h/db", "AM5109", "no postgresql:// URL", id="another database"),
        pytest.param("postgresql://nobody@127.0.0.1:1/db", "AM5103", "see that the server is there", id="no server"),
    ],
)
def test_a_server_that_cannot_be_used_is_told(
    url: str | None, code: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REHEARSAL_DATABASE", raising=False)
    if url is not None:
        monkeypatch.setenv("REHEARSAL_DATABASE", url)
    error = refused(theater(careful=True))
    assert error.code == code
    assert said in error.line()


def test_a_user_who_may_not_create_databases_is_told_what_right_it_takes(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(psycopg.connect(postgres, autocommit=True)) as connection:
        connection.execute("DROP ROLE IF EXISTS modest")
        connection.execute("CREATE ROLE modest LOGIN PASSWORD 'modest'")
        try:
            parts = urlsplit(postgres)
            host = parts.netloc.rpartition("@")[2]
            monkeypatch.setenv("REHEARSAL_DATABASE", parts._replace(netloc=f"modest:modest@{host}").geturl())
            error = refused(theater(careful=True))
        finally:
            connection.execute("DROP ROLE modest")
    assert error.code == "AM5103"
    assert "CREATEDB" in error.line()


def test_a_script_that_postgresql_does_not_take_is_told(server: str) -> None:
    stand_in = SqlStandIn("seats", script="CREATE TABEL seats", database=SERVER)
    try:
        with pytest.raises(UsageError, match="the stand-in for 'seats' cannot be made: syntax error"):
            stand_in.begin()
    finally:
        stand_in.end()


def test_a_password_is_a_reference() -> None:
    with pytest.raises(UsageError) as found:
        SqlStandIn("seats", script="", database="postgresql://me:secret@127.0.0.1/db")
    assert found.value.code == "AM2003"
    assert "secret@" not in found.value.line()
