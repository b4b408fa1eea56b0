"""What stands in for participants: fresh for each scenario, honest about keys, and open to be looked at."""

import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Http, Saga, Smtp, Sql, StepRefused, Topic
from amends.connectors.sql import worlds
from amends.coordinator.errors import UsageError
from amends.testing import Asked, AskedAmiss, HttpStandIn, SmtpStandIn, SqlStandIn, world

stock = Sql("stock", url="sqlite:///stock.db")
SCRIPT = """
CREATE TABLE stock (sku TEXT, hall INTEGER, free INTEGER, at TEXT, PRIMARY KEY (sku, hall));
CREATE TABLE history (what TEXT);
CREATE TABLE amends_inbox (key TEXT PRIMARY KEY);
INSERT INTO stock VALUES ('tea', 1, 10, 'now'), ('mug', 2, 3, 'now');
INSERT INTO history VALUES ('made'), ('made');
INSERT INTO amends_inbox VALUES ('k');
"""


class Sale(BaseModel):
    id: str


def opened(stand_in: SqlStandIn) -> sqlite3.Connection:
    address = stand_in.begin()
    assert address is not None
    return sqlite3.connect(address.removeprefix("sqlite:///"))


def test_a_database_is_shown_row_by_row_under_its_keys() -> None:
    stand_in = SqlStandIn(stock, script=SCRIPT)
    stand_in.begin()
    assert stand_in.snapshot() == {
        "history": {"what='made'": {"what": "made"}, "what='made' (2)": {"what": "made"}},
        "stock": {"mug/2": {"free": 3, "at": "now"}, "tea/1": {"free": 10, "at": "now"}},
    }
    stand_in.end()


def test_tables_and_columns_are_left_out_as_wished() -> None:
    stand_in = SqlStandIn(stock, script=SCRIPT, without=("history", "stock.at"))
    stand_in.begin()
    assert stand_in.snapshot() == {"stock": {"mug/2": {"free": 3}, "tea/1": {"free": 10}}}
    stand_in.end()


def test_each_scenario_has_a_database_of_its_own_and_the_end_leaves_nothing() -> None:
    stand_in = SqlStandIn(stock, script=SCRIPT)
    with opened(stand_in) as database:
        database.execute("DELETE FROM stock")
    database.close()
    assert "tea/1" not in str(stand_in.snapshot())
    folder = Path((stand_in.begin() or "").removeprefix("sqlite:///")).parent
    assert "tea/1" in str(stand_in.snapshot())
    stand_in.end()
    assert not folder.exists()


def test_a_script_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "stock.sql").write_text(SCRIPT)
    stand_in = SqlStandIn(stock, script=tmp_path / "stock.sql")
    stand_in.begin()
    assert "tea/1" in str(stand_in.snapshot())
    stand_in.end()


@pytest.mark.parametrize("script", ["CREATE TABEL stock", Path("/nowhere/stock.sql")])
def test_a_script_that_cannot_be_run_is_told_and_leaves_nothing(
    script: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "IN_MEMORY", tmp_path)
    with pytest.raises(UsageError, match="stand-in for 'stock' cannot be made") as refused:
        SqlStandIn(stock, script=script).begin()
    assert refused.value.code == "AM5103"
    assert list(tmp_path.iterdir()) == []


def test_without_a_driver_for_postgresql_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError) as refused:
        SqlStandIn(stock, script=SCRIPT, database="postgresql://me@127.0.0.1/db").begin()
    assert refused.value.code == "AM2007"


@pytest.mark.parametrize(("url", "postgres"), [("postgresql://me@h/db", True), ("sqlite:///stock.db", False)])
def test_a_stand_in_for_postgresql_says_which_database_it_is(url: str, *, postgres: bool) -> None:
    connector = Sql("stock", url=url)
    either = SqlStandIn(connector, script=SCRIPT, database="sqlite")
    assert str(either.begin()).startswith("sqlite:")
    either.end()
    if postgres:
        with pytest.raises(UsageError) as refused:
            SqlStandIn(connector, script=SCRIPT).begin()
        assert refused.value.code == "AM5109"


def bank(**promises: Any) -> HttpStandIn:
    connector = Http("bank", base_url="http://bank.example.com", idempotency_header="Idempotency-Key", **promises)
    stand_in = HttpStandIn(connector, world={"charges": []})

    @stand_in.on("POST", "/charges/{account}")
    def charge(asked: Asked) -> dict[str, object]:
        if asked.json["cents"] > 100:
            raise AskedAmiss(402, "too_much")
        asked.world["charges"].append([asked.params["account"], asked.params["day"], asked.json["cents"]])
        return {"number": len(asked.world["charges"])}

    @stand_in.on("DELETE", "/charges")
    def undo(asked: Asked) -> None:
        asked.world["charges"].clear()

    stand_in.begin()
    return stand_in


def posted(stand_in: HttpStandIn, key: str = "k1", cents: int = 5) -> tuple[int, bytes]:
    body = b'{"cents": %d}' % cents
    return stand_in.answer("POST", "/charges/a%201?day=monday", {"Idempotency-Key": key}, body)


def test_a_repeated_key_is_answered_as_it_was_and_does_nothing() -> None:
    stand_in = bank()
    assert posted(stand_in) == posted(stand_in) == (200, b'{"number": 1}')
    assert stand_in.snapshot() == {"charges": [["a 1", "monday", 5]]}
    stand_in.end()


def test_a_participant_that_promises_nothing_about_keys_acts_again() -> None:
    stand_in = bank(idempotent=False)
    assert posted(stand_in) != posted(stand_in)
    stand_in.end()


@pytest.mark.parametrize(("promised", "status"), [(True, 410), (False, 200)])
def test_a_key_that_was_undone_first_is_buried_as_far_as_that_is_promised(*, promised: bool, status: int) -> None:
    stand_in = bank(tombstones=promised)
    stand_in.answer("DELETE", "/charges", {"Idempotency-Key": "u1", "amends-undoes": "k1"}, b"")
    assert posted(stand_in)[0] == status
    stand_in.end()


def test_a_refusal_has_its_status_and_its_code() -> None:
    stand_in = bank()
    assert posted(stand_in, cents=500) == (402, b'{"code": "too_much"}')
    assert stand_in.answer("GET", "/nowhere", {}, b"")[0] == 404
    stand_in.end()


def test_a_route_that_raises_is_told_at_the_next_look_and_forgotten_with_the_next_scenario() -> None:
    stand_in = bank()
    assert stand_in.answer("POST", "/charges/a", {}, b"{}")[0] == 500
    with pytest.raises(KeyError, match="cents"):
        stand_in.snapshot()
    stand_in.begin()
    assert stand_in.snapshot() == {"charges": []}
    stand_in.end()


@pytest.mark.parametrize(("once", "taken"), [(True, 1), (False, 2)])
def test_a_mail_that_comes_again_is_taken_as_the_connector_promises(*, once: bool, taken: int) -> None:
    stand_in = SmtpStandIn(Smtp("mail", host="h.example", sender="shop@shop.example", idempotent=once))
    letter = b"Message-ID: <1@shop.example>\r\nTo: ann@home.example\r\nSubject: Hello\r\n\r\nIt is on its way.\r\n"
    stand_in.begin()
    stand_in.take(letter)
    stand_in.take(letter)
    shown = {"to": "ann@home.example", "subject": "Hello", "text": "It is on its way."}
    assert stand_in.snapshot() == {str(number): shown for number in range(1, taken + 1)}
    stand_in.end()


def test_a_world_leads_connectors_to_its_stand_ins_and_shows_what_is_in_them() -> None:
    saga = Saga("sale", trigger=Topic("sales", Sale, idempotency_key="id"))

    @saga.action(dependency=stock)
    async def take(trigger: Sale) -> None:
        await stock.perform(lambda tx: tx.execute("UPDATE stock SET free = free - 1 WHERE sku = 'tea'"), returns=int)

    @take.undo(verify="reply")
    async def give_back() -> None:
        await stock.undo(lambda tx: tx.execute("UPDATE stock SET free = free + 1 WHERE sku = 'tea'"))

    @saga.action(idempotent=True, irreversible=True, after=take)
    def ship(trigger: Sale) -> None:
        if trigger.id == "late":
            raise StepRefused("no truck any more")

    stand_in = SqlStandIn(
        stock, script="CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER); INSERT INTO stock VALUES ('tea', 10);"
    )
    with world(saga, stand_ins=[stand_in]) as installation:
        for number, left in (("early", 9), ("late", 9), ("again", 8)):
            installation.publish(Sale(id=number))
            installation.run()
            assert installation.snapshot() == {"stock": {"stock": {"tea": {"free": left}}}}
