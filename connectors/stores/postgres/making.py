"""Making a PostgreSQL store, and refusing what is not one that this version knows."""

import uuid
from typing import Final

import psycopg

from amends.connectors.stores import faults
from amends.connectors.stores.postgres.connections import SCHEMA, Connection, Datastore, PostgresWork
from amends.connectors.stores.postgres.leases import NOW
from amends.connectors.stores.postgres.log import PostgresLog
from amends.connectors.stores.sql.tables import VERSION, Types, create, fill, upgrade

TYPES: Final = Types(
    integer="bigint",
    text='text COLLATE "C"',
    data="bytea",
    flag="boolean",
    numbered="bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    run_id='saga_id text COLLATE "C" PRIMARY KEY',
    dead_letter_digest="""encode(sha256(
        convert_to(size_bytes || ':' || coalesce(length(key), 0) || ':', 'UTF8')
        || coalesce(key, '') || coalesce(value, '')), 'hex')""",
)
_ONE_AT_A_TIME: Final = 0x416D656E6473
"""`Amends`: the key of the advisory lock under which a store is made."""

_OFTEN_CHANGED: Final = ("shards", "leases", "workers", "counters", "topics", "consumers")
_ROOM: Final = [
    # Room in each page, so that a changed row stays in it and no index needs to know.
    "ALTER TABLE runs SET (fillfactor = 80)",
    *(f"ALTER TABLE {table} SET (fillfactor = 20)" for table in _OFTEN_CHANGED),
]


def make(datastore: Datastore, log: PostgresLog, *, shards: int) -> None:
    """Make the store if it is missing, or bring it up to this version; two processes at once do it once.

    Raises `UsageError` for what cannot be used.
    """
    connection = datastore.connect()
    try:
        if version(connection, datastore.where.text) == VERSION:
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_AT_A_TIME,))
            found = version(connection, datastore.where.text)
            if not found:
                _fill(connection, log, shards=shards)
            elif found < VERSION:
                _upgrade(connection, found)
    except psycopg.Error as error:
        raise datastore.told(connection, error) from error
    finally:
        connection.close()


def version(connection: Connection, where: str) -> int:
    """The store's version, 0 for none. Raises `UsageError` for tables of others and for a newer version's store."""
    work = PostgresWork(connection)
    # Not to_regclass: it may remember from before the lock that there is no such table.
    tables = {row[0] for row in work.rows("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = ?", (SCHEMA,))}
    if "store" not in tables:
        if tables:
            raise faults.not_a_store(where, f"its schema {SCHEMA} holds another program's tables")
        return 0
    found: int = work.rows(f"SELECT version FROM {SCHEMA}.store")[0][0]
    if found > VERSION:
        raise faults.newer(where, found=found, known=VERSION)
    return found


def _fill(connection: Connection, log: PostgresLog, *, shards: int) -> None:
    work = PostgresWork(connection)
    if not work.rows("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?", (SCHEMA,)):
        work.change(f"CREATE SCHEMA {SCHEMA}")
    for made_by_log in log.sql_create_statements:
        connection.execute(made_by_log)
    for statement in (*create(TYPES), *_ROOM):
        work.change(statement)
    for sql, params in fill(shards=shards):
        work.change(sql, params)
    work.change(f"INSERT INTO store VALUES (?, ?, {NOW})", (VERSION, str(uuid.uuid4())))


def _upgrade(connection: Connection, found: int) -> None:
    work = PostgresWork(connection)
    for statement in upgrade(TYPES, found=found):
        work.change(statement)
    work.change("UPDATE store SET version = ?", (VERSION,))
