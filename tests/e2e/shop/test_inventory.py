"""Inventory as a database: what it refuses by itself, on SQLite and on PostgreSQL."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from amends.examples.shop import inventory

TAKE = "UPDATE stock SET on_hand = on_hand - ? WHERE sku = ?"
COMMAND = [sys.executable, "-m", "amends.examples.shop.inventory"]
Url = str


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Url:
    """Give a filled inventory on each database."""
    url = f"sqlite:///{tmp_path / 'inventory.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    inventory.setup(url)
    return url


def rows(url: Url, query: str) -> list[Any]:
    connect: Callable[[str], Any] = psycopg.connect
    path = url.removeprefix("sqlite:///")
    with closing(connect(url) if path == url else sqlite3.connect(path)) as database:
        return [tuple(row) for row in database.execute(query).fetchall()]


def take(url: Url, quantity: int, sku: str) -> None:
    with inventory.transaction(url) as execute:
        execute(TAKE, quantity, sku)


def take_two(url: Url) -> None:
    with inventory.transaction(url) as execute:
        execute(TAKE, 5, "MUG-BLUE")
        execute(TAKE, 1, "CHAIR-ASH")


def run(*arguments: str) -> None:
    subprocess.run([*COMMAND, *arguments], check=True, timeout=30)


def test_setup_fills_the_stock_once(url: Url) -> None:
    take(url, 2, "MUG-BLUE")
    inventory.setup(url)
    assert rows(url, "SELECT opening, on_hand FROM stock WHERE sku = 'MUG-BLUE'") == [(120, 118)]
    assert rows(url, "SELECT count(*) FROM stock") == [(len(inventory.GOODS),)]


def test_the_stock_never_goes_below_zero_and_a_refused_change_leaves_nothing(url: Url) -> None:
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        take_two(url)
    assert rows(url, "SELECT sum(opening - on_hand) FROM stock") == [(0,)]
    assert rows(url, "SELECT count(*) FROM movements") == [(0,)]


def test_every_change_of_the_stock_is_written_down_by_the_database(url: Url) -> None:
    take(url, 3, "MUG-BLUE")
    take(url, -1, "MUG-BLUE")
    assert rows(url, "SELECT sku, delta FROM movements ORDER BY n") == [("MUG-BLUE", -3), ("MUG-BLUE", 1)]


def test_during_a_stocktake_nobody_changes_that_stock(url: Url) -> None:
    run("stocktake", url, "MUG-BLUE")
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match="stocktake in progress"):
        take(url, 1, "MUG-BLUE")
    take(url, 1, "NOTE-A5")
    run("reopen", url, "MUG-BLUE")
    take(url, 1, "MUG-BLUE")


def test_a_held_lock_stops_every_change_until_its_process_is_gone(url: Url) -> None:
    with subprocess.Popen([*COMMAND, "lock", url, "--for-s", "60"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert json.loads(holder.stdout.readline())["participant"] == "inventory"
        with pytest.raises((sqlite3.OperationalError, psycopg.OperationalError)):
            impatiently_take(url)
        holder.kill()
    take(url, 1, "MUG-BLUE")


def impatiently_take(url: Url) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.1)) as database:
            database.execute(TAKE, (1, "MUG-BLUE"))
    else:
        with psycopg.connect(url, options="-c lock_timeout=100") as database:
            database.execute(TAKE.replace("?", "%s").encode(), (1, "MUG-BLUE"))
