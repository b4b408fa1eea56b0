"""The databases `Sql` is tried on: things that may be taken, and the books beside them, read without a connector."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

TABLES = (
    "CREATE TABLE stock (thing TEXT PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0))",
    "CREATE TABLE movements (thing TEXT NOT NULL, verb TEXT NOT NULL)",
)


class Database:
    """One of them. `mark` is how its driver writes a parameter."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mark = "?" if url.startswith("sqlite") else "%s"
        for statement in TABLES:
            self.execute(statement)

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Execute in a transaction of its own; write `?` for a value."""
        if self.mark == "?":
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=10)) as file, file:
                return file.execute(statement, values).fetchall()
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(statement.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def count(self, thing: str, verb: str) -> int:
        found = self.execute("SELECT count(*) FROM movements WHERE thing = ? AND verb = ?", thing, verb)
        return int(str(found[0][0]))

    async def applied(self, thing: str) -> int:
        return await asyncio.to_thread(self.count, thing, "take")

    async def undone(self, thing: str) -> int:
        return await asyncio.to_thread(self.count, thing, "give")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a lock that every change of the stock needs."""
        if self.mark == "?":
            path = self.url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield
        else:
            with psycopg.connect(self.url) as held:
                held.execute("LOCK TABLE stock IN EXCLUSIVE MODE")
                yield


def sqlite_in(folder: Path) -> Database:
    path = folder / "stock.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return Database(f"sqlite:///{path}")
