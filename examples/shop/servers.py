"""The demo on real servers: a database and topics of its own, made for one run and removed by the next."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from amends.coordinator.errors import AmendsError, UsageError

POSTGRESQL = ("postgresql://", "postgres://")
KAFKA = "kafka://"
NOTE = "servers.json"
CONNECT_WITHIN_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """`store` is the URL of the demo's own database; None where it is a file. `run` is what its topics begin with."""

    store: str | None
    bus: str
    run: str

    @property
    def kafka(self) -> bool:
        return self.bus.startswith(KAFKA)

    @property
    def shown_bus(self) -> str:
        return self.bus if self.kafka else "topics in its store"

    @property
    def shown_store(self) -> str | None:
        """Where the store is, without a password; None where it is a file."""
        if self.store is None:
            return None
        place = urlsplit(self.store)
        return f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"


def prepared(run: str, folder: Path, given: Mapping[str, str]) -> Servers | None:
    """Make the demo's own database; None on the embedded default. Raises `UsageError`."""
    server, bus = given.get("store", ""), given.get("bus", "local")
    on_postgresql = server.startswith(POSTGRESQL)
    if not on_postgresql and not bus.startswith(KAFKA):
        return None
    database = run.replace("-", "_")
    note = {"server": server if on_postgresql else None, "database": database, "run": run, "given": dict(given)}
    (folder / NOTE).touch(mode=0o600)
    (folder / NOTE).write_text(json.dumps(note))
    if not on_postgresql:
        return Servers(store=None, bus=bus, run=run)
    _execute(server, "CREATE DATABASE {}", database)
    return Servers(store=urlsplit(server)._replace(path=f"/{database}").geturl(), bus=bus, run=run)


def forget(folder: Path) -> None:
    """Remove from the servers what the folder's last demo made there; a server that is away keeps it."""
    try:
        note = json.loads((folder / NOTE).read_text())
    except (OSError, ValueError):
        return
    if note["server"] is not None:
        with suppress(UsageError):
            _execute(note["server"], "DROP DATABASE IF EXISTS {} WITH (FORCE)", note["database"])
    if note["given"].get("bus", "local").startswith(KAFKA):
        asyncio.run(_delete_topics(note["given"], f"{note['run']}."))


async def _delete_topics(given: Mapping[str, Any], prefix: str) -> None:
    from amends.connectors.kafka.admin import KafkaAdmin  # noqa: PLC0415  only where Kafka is the bus
    from amends.coordinator.bootstrap import kafka_settings  # noqa: PLC0415  the same
    from amends.coordinator.config import load  # noqa: PLC0415  the same

    with suppress(AmendsError):
        async with KafkaAdmin.connected(kafka_settings(load(given).settings)) as admin:
            await admin.delete([topic for topic in await admin.topics() if topic.startswith(prefix)])


def _execute(server: str, statement: str, name: str) -> None:
    try:
        import psycopg  # noqa: PLC0415  only where PostgreSQL is the store
        from psycopg import sql  # noqa: PLC0415  the same
    except ImportError:
        raise UsageError("AM6003", "psycopg is not installed", do="pip install 'amends[postgres]'") from None
    try:
        with psycopg.connect(server, autocommit=True, connect_timeout=CONNECT_WITHIN_S) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    except psycopg.Error as error:
        why = " ".join(str(error).split())
        raise UsageError(
            "AM6003",
            f"PostgreSQL gives the demo no database of its own: {why}",
            do="name a server that runs, and a user that may create databases",
        ) from None
