"""The connections and threads of one database, kept for as long as the event loop of the handlers runs."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from amends.connectors.promises import malformed
from amends.connectors.sql.postgres import PostgresDatabase
from amends.connectors.sql.sessions import Database, Session
from amends.connectors.sql.sqlite import SqliteDatabase
from amends.coordinator.loop_resources import hold
from amends.coordinator.redaction import SECRETS


class Connections:
    """As many as threads use at once, opened when they are needed."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.executor = ThreadPoolExecutor(database.threads, thread_name_prefix=f"amends-sql-{name}")
        self._idle: deque[Session] = deque()  # append and pop are atomic

    def take(self, *, timeout_s: float) -> Session:
        """An idle connection, else a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.database.connect(timeout_s=timeout_s)

    def give_back(self, session: Session) -> None:
        """For the next one; only a session that is in no transaction."""
        self._idle.append(session)

    def forget_idle(self) -> None:
        """One was found broken: the others are as old as it is."""
        while True:
            try:
                session = self._idle.pop()
            except IndexError:
                return
            session.close()

    async def close(self) -> None:
        """Wait for the threads, then close."""
        await asyncio.to_thread(self.executor.shutdown)
        self.forget_idle()


def connections_of(owner: object, name: str, url: str, threads: int) -> Connections:
    """The running loop's connections of a declared connector; a URL whose password was rotated gets new ones."""
    return hold((owner, url), lambda: Connections(database_of(name, url, threads), name), Connections.close)


def database_of(name: str, url: str, threads: int) -> Database:
    """The database a URL names. Raises `UsageError` (AM2005) for a kind that is not supported."""
    parts = urlsplit(url)
    if parts.password:
        SECRETS.learn(unquote(parts.password))
    if parts.scheme in ("postgresql", "postgres") and parts.path.strip("/"):
        return PostgresDatabase(url, threads=threads)
    if parts.scheme == "sqlite" and not parts.netloc and parts.path not in ("", "/"):
        return SqliteDatabase(Path(unquote(parts.path.removeprefix("/"))))
    raise malformed(
        name,
        f"its url of the kind {parts.scheme!r} is none of a database it knows",
        do="write sqlite:///relative.db, sqlite:////absolute/path.db or postgresql://user@host/database",
    )
