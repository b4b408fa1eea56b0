"""The books balance after every order was taken to its end by hand, and no longer when a single row is changed."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from amends.examples.shop import reconcile
from amends.examples.shop.launch import participants
from tests.e2e.shop.by_hand import Clerk, ask
from tests.e2e.shop.orders import published

PROGRAM = Path(reconcile.__file__)

IMMATERIAL = {
    "payments.answers.digest",  # says what a key was used for, not what was done
    "payments.movements.at_us",
    "payments.requests.at_us",
    "payments.requests.epoch",
    "payments.requests.fault",
    "inventory.movements.at",
    "inventory.reservations.reservation_id",
    "inventory.stock.name",
    "mail.messages.at_us",
    "mail.messages.sender",
    "mail.requests.at_us",
    "mail.requests.fault",
}
"""What may be changed by hand without touching the books: times, notes and names."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Play all orders once; the folder also holds `outcomes.jsonl`."""
    data = tmp_path_factory.mktemp("played")
    play(data, f"sqlite:///{data / 'inventory.db'}")
    return data


@pytest.fixture
def books(played: Path, tmp_path: Path) -> Path:
    """Give a copy of the played books, to be changed."""
    return Path(shutil.copytree(played, tmp_path / "books"))


def test_the_books_balance_when_every_order_came_to_its_end(played: Path) -> None:
    done = run_program("--data", str(played), "--outcomes", str(played / "outcomes.jsonl"))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "The books balance."
    assert "23 completed orders" in done.stdout
    assert "✖" not in done.stdout


def test_it_imports_nothing_of_amends(played: Path) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['reconcile.py', '--data', {str(played)!r}]\n"
        f"try: runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] not in sys.stdlib_module_names\n"
        "            and not name.startswith(('__', '_virtualenv', '_distutils'))], sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("database", "change", "said"),
    [
        pytest.param(
            "payments",
            "UPDATE movements SET amount_cents = amount_cents + 1 WHERE n = 3",
            "money kept",
            id="a movement of money",
        ),
        pytest.param(
            "payments", "DELETE FROM refunds WHERE rowid = 1", "payments and refunds agree", id="a lost refund"
        ),
        pytest.param(
            "inventory",
            "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'MUG-BLUE'",
            "what left the stock",
            id="a mug",
        ),
        pytest.param(
            "inventory",
            "UPDATE reservations SET state = 'released' WHERE order_id = 'A-1002'",
            "goods are held",
            id="a release",
        ),
        pytest.param(
            "mail",
            "DELETE FROM messages WHERE message_id = '<A-1001@shop.example>'",
            "orders reported as completed",
            id="a lost mail",
        ),
        pytest.param(
            "mail",
            "INSERT INTO messages SELECT '<again>', recipient, sender, subject, at_us, raw FROM messages LIMIT 1",
            "one mail for each",
            id="a second mail",
        ),
    ],
)
def test_one_row_changed_by_hand_is_found(books: Path, database: str, change: str, said: str) -> None:
    by_hand(books / f"{database}.db", change)
    done = run_program("--data", str(books), "--outcomes", str(books / "outcomes.jsonl"))
    assert done.returncode == 1
    assert any(line.startswith(f"  ✖ {said}") for line in done.stdout.splitlines()), done.stdout
    assert done.stdout.splitlines()[-1].startswith("The books do not balance")


def test_every_column_that_matters_is_compared(books: Path, tmp_path: Path) -> None:
    unnoticed = set()
    for database in ("payments", "inventory", "mail"):
        for table, column, value in first_values(books / f"{database}.db"):
            changed = Path(shutil.copytree(books, tmp_path / f"{database}-{table}-{column}"))
            by_hand(changed / f"{database}.db", f"UPDATE {table} SET {column} = ? WHERE rowid = ?", *value)
            if balances(changed):
                unnoticed.add(f"{database}.{table}.{column}")
    assert unnoticed == IMMATERIAL


def test_every_deleted_row_is_noticed(books: Path, tmp_path: Path) -> None:
    for database in ("payments", "inventory", "mail"):
        for table in tables_of(books / f"{database}.db"):
            for last in ("min", "max"):
                changed = Path(shutil.copytree(books, tmp_path / f"{database}-{table}-{last}"))
                query = f"DELETE FROM {table} WHERE rowid = (SELECT {last}(rowid) FROM {table})"
                by_hand(changed / f"{database}.db", query)
                assert not balances(changed), query


def test_an_order_charged_twice_is_found_even_when_the_second_charge_was_returned(books: Path) -> None:
    by_hand(
        books / "payments.db",
        "INSERT INTO payments SELECT 'pay_2', 'key-2', order_id, card, amount_cents, currency,"
        " amount_cents FROM payments WHERE order_id = 'A-1002'",
    )
    for kind in ("charge", "refund"):
        by_hand(
            books / "payments.db",
            "INSERT INTO movements (at_us, key, kind, payment_id, amount_cents)"
            f" SELECT 0, 'key-{kind}', '{kind}', 'pay_2', amount_cents FROM payments WHERE payment_id = 'pay_2'",
        )
    done = run_program("--data", str(books))
    assert "  ✖ no payment was taken twice" in done.stdout
    assert "A-1002: expected 9750, found 19500" in done.stdout


def test_the_inventory_may_be_a_postgresql_database(tmp_path: Path, postgres: str) -> None:
    play(tmp_path, postgres)
    arguments = ["--data", str(tmp_path), "--inventory", postgres]
    done = run_program(*arguments)
    assert done.returncode == 0, done.stdout
    with psycopg.connect(postgres) as database:
        database.execute("UPDATE stock SET opening = opening + 1 WHERE sku = 'MUG-BLUE'")
    assert run_program(*arguments).returncode == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        pytest.param("compensated", "orders reported as completed are", id="reported as compensated"),
        pytest.param("parked", "no order was left half done", id="left parked"),
    ],
)
def test_an_outcome_that_differs_from_the_world_is_found(books: Path, status: str, said: str) -> None:
    lines = [json.loads(line) for line in (books / "outcomes.jsonl").read_text().splitlines()]
    write_outcomes(books, [line | {"status": status} if line["business_key"] == "A-1002" else line for line in lines])
    done = run_program("--data", str(books), "--outcomes", str(books / "outcomes.jsonl"))
    assert done.returncode == 1
    assert f"  ✖ {said}" in done.stdout


def test_books_that_cannot_be_read_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    done = run_program("--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("the books cannot be read: ")


def play(data: Path, inventory_url: str) -> None:
    with participants(data, "payments", "mail") as running:
        clerk = Clerk(inventory_url, running)
        statuses = {order["order_id"]: clerk.play(order) for order in published()}
        assert [order_id for order_id, status in statuses.items() if status == "parked"] == ["A-1019"]
        ask(running["payments"].url, "DELETE", "/faults?ending=0077")
        clerk.undo("A-1019")
    outcomes = [
        {"outcome_id": f"o-{order_id}", "supersedes": None, "business_key": order_id, "status": status}
        for order_id, status in statuses.items()
    ]
    resolved = {"supersedes": "o-A-1019", "business_key": "A-1019", "status": "compensated"}
    write_outcomes(data, [*outcomes, {"outcome_id": "o-resolved", **resolved}])


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def balances(data: Path) -> bool:
    return reconcile.main(["--data", str(data), "--outcomes", str(data / "outcomes.jsonl")]) == 0


def by_hand(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        assert database.execute(statement, values).rowcount == 1


def tables_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return [name for (name,) in names if database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]]


def first_values(path: Path) -> Iterator[tuple[str, str, tuple[Any, int]]]:
    """Give, for every column, another value for one row that no fault touched."""
    for table in tables_of(path):
        with closing(sqlite3.connect(path)) as database:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            only = "WHERE fault IS NULL" if "fault" in columns else ""
            rowid, *values = database.execute(f"SELECT rowid, * FROM {table} {only} LIMIT 1").fetchone()
        for column, value in zip(columns, values, strict=True):
            yield table, column, (another(value), rowid)


def another(value: object) -> object:
    match value:
        case None:
            return 7
        case int():
            return value + 100_000
        case bytes():
            return value.replace(b"The total is ", b"The total is 1")
        case _:
            return {"held": "released", "charge": "refund"}.get(str(value), f"{value}x")


def write_outcomes(data: Path, outcomes: list[dict[str, Any]]) -> None:
    (data / "outcomes.jsonl").write_text("".join(json.dumps(outcome) + "\n" for outcome in outcomes))
