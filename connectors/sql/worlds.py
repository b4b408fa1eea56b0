"""A database for one scenario of a rehearsal: made anew from the author's own script, and open to be looked at."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from amends.coordinator.errors import UsageError

OUR_OWN: Final = frozenset({"amends_inbox", "amends_commands"})
"""Tables that connectors keep in a participant's database: not part of its world."""
IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108  a folder of a random name and mode 0700 is made in it
"""Where there is such a file system: a world that lives for milliseconds needs no disk."""


class SqlWorld(Protocol):
    """A database that begins as its script says, as often as it is asked to."""

    def begin(self) -> str:
        """Make it anew; its URL. Raises `UsageError` where that cannot be done."""

    def snapshot(self) -> dict[str, object]:
        """Every table: its rows by primary key, each by column."""

    def end(self) -> None:
        """Leave nothing behind."""


class SqliteWorld:
    """A file. `without` names tables, and columns as `table.column`, that are not looked at."""

    def __init__(self, name: str, *, script: str | Path, without: Iterable[str]) -> None:
        self._name = name
        self._script = script
        self._without = frozenset(without) | OUR_OWN
        self._folder: Path | None = None

    def begin(self) -> str:
        if self._folder is None:
            memory = IN_MEMORY if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) else None
            self._folder = Path(tempfile.mkdtemp(prefix="amends-rehearsal-", dir=memory))
            self._make(self._folder / "template.db")
        for old in self._folder.glob("world.db*"):
            old.unlink()
        shutil.copyfile(self._folder / "template.db", self._file)
        return f"sqlite:///{self._file}"

    def snapshot(self) -> dict[str, object]:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as database:
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            )
            return {name: self._table(database, name) for (name,) in tables.fetchall() if name not in self._without}

    def end(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _make(self, file: Path) -> None:
        try:
            with closing(sqlite3.connect(file)) as database:
                database.executescript(text_of(self._script))
        except (OSError, sqlite3.Error) as error:
            self.end()
            raise not_made(self._name, error) from error

    def _table(self, database: sqlite3.Connection, table: str) -> dict[str, object]:
        quoted = '"' + table.replace('"', '""') + '"'
        columns = database.execute(f"PRAGMA table_info({quoted})").fetchall()
        names = [column[1] for column in columns]
        keys = [column[1] for column in sorted(columns, key=lambda each: each[5]) if column[5]]
        order = ", ".join(map(str, range(1, len(names) + 1)))
        found = database.execute(f"SELECT * FROM {quoted} ORDER BY {order}")  # noqa: S608  the table's own name, quoted
        rows = (dict(zip(names, row, strict=True)) for row in found)
        return by_key(rows, keys=keys, shown=[name for name in names if f"{table}.{name}" not in self._without])

    @property
    def _file(self) -> Path:
        assert self._folder is not None, "it has begun"
        return self._folder / "world.db"


def text_of(script: str | Path) -> str:
    """SQL, or what stands in its file. Raises `OSError`."""
    return script.read_text() if isinstance(script, Path) else script


def not_made(name: str, error: Exception, *, do: str = "mend its script") -> UsageError:
    """The database of a stand-in cannot be made (AM5103)."""
    said = " ".join(str(error).split())
    return UsageError("AM5103", f"the stand-in for {name!r} cannot be made: {said}", do=do)


def by_key(rows: Iterable[Mapping[str, object]], *, keys: Collection[str], shown: Collection[str]) -> dict[str, object]:
    """Rows by primary key, `tea/1`; those of a table without one by what they hold, equal ones by a number."""
    found: dict[str, object] = {}
    for row in rows:
        values = {name: _plain(value) for name, value in row.items()}
        key = "/".join(str(values[name]) for name in keys) if keys else _numbered(found, values, shown)
        found[key] = {name: values[name] for name in shown if name not in keys}
    return found


def _plain(value: object) -> object:
    """What JSON has no bytes for."""
    return value.hex() if isinstance(value, bytes) else value


def _numbered(found: Mapping[str, object], values: Mapping[str, object], shown: Iterable[str]) -> str:
    name = ", ".join(f"{column}={values[column]!r}" for column in shown)
    number = 2
    key = name
    while key in found:
        key, number = f"{name} ({number})", number + 1
    return key
