"""A PostgreSQL database for rehearsals: one of its own, of a name that nobody else uses, dropped at the end."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from amends.connectors.secrets import Template, secret_template, template
from amends.connectors.sql.postgres import not_installed
from amends.connectors.sql.worlds import OUR_OWN, by_key, not_made, text_of
from amends.coordinator.errors import UsageError

if TYPE_CHECKING:
    from psycopg import Connection

CONNECT_S: Final = 10
LOCK_MS: Final = 10_000
PREFIX: Final = "amends_rehearsal_"

_SCHEMAS: Final = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
_TABLES: Final = """
SELECT c.oid, n.nspname, c.relname,
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          ORDER BY a.attnum) AS columns,
    ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, nth)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
          WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.nth) AS keys
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname
"""


class PostgresWorld:
    """Made on the server that a URL leads to, by whoever may create databases there.

    Nothing but the database of its own is ever written to: it is made empty, and emptied for each scenario.
    """

    def __init__(self, name: str, *, script: str | Path, without: Iterable[str], server: str) -> None:
        self._name = name
        self._script = script
        self._without = frozenset(without) | OUR_OWN
        self._server = _reference(server, name)
        self._database: str | None = None
        self._world: Connection[Any] | None = None

    def begin(self) -> str:
        try:
            from psycopg import Error  # noqa: PLC0415  an extra
        except ImportError as error:
            raise not_installed() from error
        server = self._server.resolve(secret=True)
        if urlsplit(server).scheme not in {"postgresql", "postgres"}:
            raise UsageError(
                "AM5109", f"the database of the stand-in for {self._name!r} is no postgresql:// URL", do=HOW
            )
        try:
            if self._database is None:
                self._database = self._created(server)
            url = urlsplit(server)._replace(path=f"/{self._database}").geturl()
            self._empty(url)
            return url
        except (OSError, Error) as error:
            raise not_made(self._name, error, do=_do(error)) from error

    def snapshot(self) -> dict[str, object]:
        assert self._world is not None, "it has begun"
        found: dict[str, object] = {}
        for _, schema, table, columns, keys in self._world.execute(_TABLES).fetchall():
            name = table if schema == "public" else f"{schema}.{table}"
            if name not in self._without:
                shown = [column for column in columns if f"{name}.{column}" not in self._without]
                found[name] = by_key(self._rows(schema, table), keys=keys, shown=shown)
        return found

    def end(self) -> None:
        world, self._world = self._world, None
        name, self._database = self._database, None
        if world is not None:
            world.close()
        if name is not None:
            self._drop(name)

    def _drop(self, name: str) -> None:
        from psycopg import Error, sql  # noqa: PLC0415  an extra

        try:
            with _connected(self._server.resolve(secret=True)) as server:
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        except (OSError, Error) as error:
            what = f"the database {name} of the stand-in for {self._name!r} stays: {' '.join(str(error).split())}"
            raise UsageError("AM5103", what, do="drop it by hand") from error

    def _created(self, url: str) -> str:
        """An empty one, whatever the server's template holds; its commits need not survive anything."""
        from psycopg import sql  # noqa: PLC0415  an extra

        name = f"{PREFIX}{uuid4().hex}"
        with _connected(url) as server:
            server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            server.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))
        return name

    def _empty(self, url: str) -> None:
        from psycopg import sql  # noqa: PLC0415  an extra

        if self._world is None:
            self._world = _connect(url)
            self._world.execute(f"SET lock_timeout = {LOCK_MS}")
        with self._world.transaction():
            for (schema,) in self._world.execute(_SCHEMAS).fetchall():
                self._world.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            self._world.execute("CREATE SCHEMA public")
            self._world.execute(text_of(self._script).encode())

    def _rows(self, schema: str, table: str) -> list[Mapping[str, object]]:
        """As JSON, which has a text for each of PostgreSQL's types; in an order that hangs on what they hold alone."""
        from psycopg import sql  # noqa: PLC0415  an extra

        assert self._world is not None, "it has begun"
        statement = sql.SQL("SELECT to_jsonb(t)::text FROM {} t").format(sql.Identifier(schema, table))
        texts = sorted(text for (text,) in self._world.execute(statement).fetchall())
        return [json.loads(text, parse_float=str) for text in texts]


HOW: Final = (
    'write database="${env:REHEARSAL_DATABASE}": the URL of a PostgreSQL server where rehearsals may make a database; '
    'or database="sqlite" if its statements run there as well'
)
"""What to do about a PostgreSQL connector that nothing stands in for."""


def _reference(url: str, name: str) -> Template:
    """A password in it is a reference."""
    what = f"database of the stand-in for {name!r}"
    return secret_template(url, what=what) if urlsplit(url).password else template(url, what=what)


def _connect(url: str) -> "Connection[Any]":
    import psycopg  # noqa: PLC0415  an extra

    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_S, application_name="amends rehearsal")


@contextmanager
def _connected(url: str) -> "Iterator[Connection[Any]]":
    with _connect(url) as connection:
        yield connection


def _do(error: Exception) -> str:
    if getattr(error, "sqlstate", None) == "42501":
        return "give its user the right to create databases (CREATEDB), or name a server of its own, as in a container"
    return "see that the server is there and takes you; else mend the script"
