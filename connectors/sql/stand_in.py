"""`SqlStandIn`: a database that stands in for a `Sql` connector while a saga is rehearsed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from amends.connectors.sql.postgres_world import HOW, PostgresWorld
from amends.connectors.sql.worlds import SqliteWorld, SqlWorld
from amends.coordinator.errors import UsageError
from amends.coordinator.testing.stand_in import Named, StandIn

SQLITE: Final = "sqlite"


class SqlStandIn(StandIn):
    """Stands in for a `Sql` connector. `script` is SQL, or the file it stands in: tables, and the rows before a run.

    It is a SQLite file, or with `database="${env:REHEARSAL_DATABASE}"` a database of its own on that PostgreSQL server,
    dropped at the end. One for a PostgreSQL connector says which; `database="sqlite"` where its statements run there.
    The snapshot is every table but the connector's own: rows by primary key, each by column. `without` names tables,
    and columns as `table.column`, that are no part of the world: times of change, say.
    """

    def __init__(
        self,
        connector: Named | str,
        *,
        script: str | Path,
        without: tuple[str, ...] = (),
        database: str | None = None,
    ) -> None:
        name = connector if isinstance(connector, str) else connector.name
        world = world_of(
            name,
            script=script,
            without=without,
            database=database,
            postgres=bool(getattr(connector, "is_postgres", False)),
        )
        super().__init__(connector, begin=world.begin, snapshot=world.snapshot, end=world.end)


def world_of(
    name: str, *, script: str | Path, without: Iterable[str], database: str | None, postgres: bool
) -> SqlWorld:
    """The database that stands in for this participant's, which is PostgreSQL or is not."""
    if database is None and postgres:
        return _NotSaid(name)
    if database is None or database == SQLITE:
        return SqliteWorld(name, script=script, without=without)
    return PostgresWorld(name, script=script, without=without, server=database)


class _NotSaid:
    """Nobody said what stands in: told by a rehearsal, not where a module with a sandbox is imported."""

    def __init__(self, name: str) -> None:
        self._name = name

    def begin(self) -> str:
        raise UsageError(
            "AM5109", f"the participant {self._name!r} is PostgreSQL, and its stand-in does not say where", do=HOW
        )

    def snapshot(self) -> dict[str, object]:
        return {}

    def end(self) -> None:
        """Nothing was begun."""
