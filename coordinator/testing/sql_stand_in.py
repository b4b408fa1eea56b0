"""A database for one scenario: a SQLite file, made anew from the user's own script."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from amends.coordinator.errors import UsageError
from amends.coordinator.testing.stand_in import Named, StandIn

OUR_OWN: Final = frozenset({"amends_inbox"})
"""Tables that connectors keep in a participant's database: not part of its world."""
IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108  a folder of a random name and mode 0700 is made in it
"""Where there is such a file system: a world that lives for milliseconds needs no disk."""


class SqlStandIn(StandIn):
    """Stands in for a `Sql` connector. `script` is SQL, or the file it stands in: tables, and the rows before a run.

    The snapshot is every table but the connector's own: rows by primary key, each by column. `without` names tables,
    and columns as `table.column`, that are no part of the world: times of change, say.
    """

    def __init__(self, connector: Named | str, *, script: str | Path, without: tuple[str, ...] = ()) -> None:
        super().__init__(connector, begin=self._fresh, snapshot=self._rows, end=self._remove)
        self._script = script
        self._without = frozenset(without) | OUR_OWN
        self._folder: Path | None = None

    def _fresh(self) -> str:
        if self._folder is None:
            memory = IN_MEMORY if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) else None
            self._folder = Path(tempfile.mkdtemp(prefix="amends-rehearsal-", dir=memory))
            self._make(self._folder / "template.db")
        for old in self._folder.glob("world.db*"):
            old.unlink()
        shutil.copyfile(self._folder / "template.db", self._file)
        return f"sqlite:///{self._file}"

    def _make(self, file: Path) -> None:
        try:
            text = self._script.read_text() if isinstance(self._script, Path) else self._script
            with closing(sqlite3.connect(file)) as database:
                database.executescript(text)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                "AM5103", f"the stand-in for {self.name!r} cannot be made: {error}", do="mend its script"
            ) from error

    def _rows(self) -> dict[str, object]:
        with self._reading() as database:
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            )
            return {name: self._table(database, name) for (name,) in tables.fetchall() if name not in self._without}

    def _table(self, database: sqlite3.Connection, table: str) -> dict[str, object]:
        quoted = '"' + table.replace('"', '""') + '"'
        columns = database.execute(f"PRAGMA table_info({quoted})").fetchall()
        names = [column[1] for column in columns]
        keys = [column[1] for column in sorted(columns, key=lambda each: each[5]) if column[5]]
        shown = [name for name in names if f"{table}.{name}" not in self._without]
        found: dict[str, object] = {}
        for row in database.execute(f"SELECT * FROM {quoted} ORDER BY {', '.join(map(str, range(1, len(names) + 1)))}"):  # noqa: S608  the table's own name, quoted
            values = dict(zip(names, row, strict=True))
            key = "/".join(str(values[name]) for name in keys) if keys else _numbered(found, values, shown)
            found[key] = {name: values[name] for name in shown if name not in keys}
        return found

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as database:
            yield database

    @property
    def _file(self) -> Path:
        assert self._folder is not None, "it has begun"
        return self._folder / "world.db"

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _numbered(found: dict[str, object], values: dict[str, object], shown: list[str]) -> str:
    """A table without a key: its rows are known by what they hold, equal ones by a number."""
    name = ", ".join(f"{column}={values[column]!r}" for column in shown)
    number = 2
    key = name
    while key in found:
        key, number = f"{name} ({number})", number + 1
    return key
