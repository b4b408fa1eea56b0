"""Inventory: a database and nothing before it. The saga changes it by SQL; `Sql` adds its own table, `amends_inbox`.

    python -m amends.examples.shop.inventory setup URL            makes and fills the tables, unless they are there
    python -m amends.examples.shop.inventory stocktake URL SKU    nobody may touch this SKU's stock from now on …
    python -m amends.examples.shop.inventory reopen URL SKU       … until now
    python -m amends.examples.shop.inventory lock URL --for-s 2   holds the lock that every change of the stock needs

URL is `sqlite:///PATH` or `postgresql://…`. `stock.on_hand` never goes below zero (the database sees to it), and a
trigger writes each change of it to `movements`, which `reconcile.py` compares with the reservations.
"""

import argparse
import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

SQLITE_PREFIX = "sqlite:///"

GOODS = (
    ("BAG-CANVAS", "Canvas bag, natural", "34.00", 40),
    ("CANDLE-FIG", "Candle, fig", "18.75", 60),
    ("CHAIR-ASH", "Chair, ash", "249.00", 0),
    ("CLOCK-OAK", "Wall clock, oak", "59.00", 25),
    ("KETTLE-STEEL", "Kettle, steel", "79.90", 20),
    ("LAMP-BRASS", "Desk lamp, brass", "89.00", 15),
    ("MUG-BLUE", "Mug, blue glaze", "14.50", 120),
    ("NOTE-A5", "Notebook A5, dotted", "9.90", 150),
    ("PEN-FINE", "Fineliners, set of six", "12.40", 80),
    ("PRINT-ALPS", "Print, Alps at dusk", "45.00", 30),
)
"""What the shop sells: SKU, name, price, and how many there are on the first day."""

TABLES = """
CREATE TABLE IF NOT EXISTS stock (
    sku TEXT PRIMARY KEY, name TEXT NOT NULL, opening INTEGER NOT NULL,
    on_hand INTEGER NOT NULL CHECK (on_hand >= 0));
CREATE TABLE IF NOT EXISTS reservations (
    reservation_id TEXT NOT NULL, order_id TEXT NOT NULL, sku TEXT NOT NULL REFERENCES stock,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    state TEXT NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'released')), PRIMARY KEY (reservation_id, sku));
CREATE TABLE IF NOT EXISTS stocktakes (sku TEXT PRIMARY KEY REFERENCES stock);
"""

SQLITE = """
CREATE TABLE IF NOT EXISTS movements (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, sku TEXT NOT NULL,
    delta INTEGER NOT NULL);
CREATE TRIGGER IF NOT EXISTS stocktake_refuses BEFORE UPDATE OF on_hand ON stock
WHEN EXISTS (SELECT 1 FROM stocktakes WHERE sku = new.sku) BEGIN
    SELECT RAISE(ABORT, 'stocktake in progress');
END;
CREATE TRIGGER IF NOT EXISTS stock_moves AFTER UPDATE OF on_hand ON stock BEGIN
    INSERT INTO movements (sku, delta) VALUES (new.sku, new.on_hand - old.on_hand);
END;
"""

POSTGRESQL = """
CREATE TABLE IF NOT EXISTS movements (
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now(), sku TEXT NOT NULL,
    delta INTEGER NOT NULL);
CREATE OR REPLACE FUNCTION stock_moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM stocktakes WHERE sku = new.sku) THEN
        RAISE EXCEPTION 'stocktake in progress' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    INSERT INTO movements (sku, delta) VALUES (new.sku, new.on_hand - old.on_hand);
    RETURN new;
END $$;
CREATE OR REPLACE TRIGGER stock_moves BEFORE UPDATE OF on_hand ON stock
FOR EACH ROW EXECUTE FUNCTION stock_moves();
"""


def setup(url: str) -> None:
    """Make and fill the tables, all or none; what is there stays as it is."""
    with transaction(url) as execute:
        for statement in _statements(TABLES + (SQLITE if url.startswith(SQLITE_PREFIX) else POSTGRESQL)):
            execute(statement)
        for sku, name, _price, opening in GOODS:
            execute("INSERT INTO stock VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", sku, name, opening, opening)


def _statements(script: str) -> list[str]:
    """Split where a statement begins: a semicolon within a trigger's body is followed by something else."""
    return [f"{statement};" for statement in re.split(r";\s+(?=CREATE|\Z)", script) if statement.strip()]


def stocktake(url: str, sku: str) -> None:
    """Close this SKU: every change of its stock fails until it is reopened."""
    with transaction(url) as execute:
        execute("INSERT INTO stocktakes VALUES (?) ON CONFLICT DO NOTHING", sku)


def reopen(url: str, sku: str) -> None:
    """End the stocktake of this SKU."""
    with transaction(url) as execute:
        execute("DELETE FROM stocktakes WHERE sku = ?", sku)


def lock(url: str, for_s: float) -> None:
    """Hold the lock that every change of the stock needs; one JSON line on stdout says that it is held."""
    with transaction(url) as execute:
        if not url.startswith(SQLITE_PREFIX):
            execute("LOCK TABLE stock IN SHARE ROW EXCLUSIVE MODE")
        sys.stdout.write(json.dumps({"participant": "inventory", "pid": os.getpid(), "locked_for_s": for_s}) + "\n")
        sys.stdout.flush()
        time.sleep(for_s)


class Execute(Protocol):
    """Runs one statement, with a `?` for each value."""

    def __call__(self, statement: str, *values: str | int) -> object: ...


@contextmanager
def transaction(url: str) -> Iterator[Execute]:
    """Open the database for one writing transaction: commit at the end of the block, roll back if it raises."""
    if url.startswith(SQLITE_PREFIX):
        with closing(sqlite3.connect(url.removeprefix(SQLITE_PREFIX), isolation_level=None, timeout=10)) as database:
            database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield lambda statement, *values: database.execute(statement, values)
    else:
        import psycopg  # noqa: PLC0415  only where the inventory is a PostgreSQL database

        with psycopg.connect(url) as connection:
            yield lambda statement, *values: connection.execute(statement.replace("?", "%s").encode(), values or None)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m amends.examples.shop.inventory")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("setup", "make and fill the tables, unless they are there"),
        ("stocktake", "let every change of this SKU's stock fail"),
        ("reopen", "end the stocktake"),
        ("lock", "hold the lock that every change of the stock needs"),
    ):
        command = commands.add_parser(name, help=summary)
        command.add_argument("url", help="sqlite:///PATH or postgresql://…")
        if name in ("stocktake", "reopen"):
            command.add_argument("sku")
        if name == "lock":
            command.add_argument("--for-s", type=float, default=2.0, metavar="SECONDS")
    arguments = vars(parser.parse_args())
    does: dict[str, Callable[..., None]] = {"setup": setup, "stocktake": stocktake, "reopen": reopen, "lock": lock}
    does[arguments.pop("command")](**arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
