"""The stores: SQLite embedded, PostgreSQL for production, memory for simulations; one port, chosen by URL."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amends.connectors.stores import faults
from amends.connectors.stores.clock import wall_clock
from amends.coordinator.ports.store import Store
from amends.coordinator.sealing.master import NO_MASTER, MasterReference
from amends.schemas.instants import Instant

SQLITE: Final = "sqlite:///"
POSTGRESQL: Final = ("postgresql://", "postgres://")
URLS: Final = ("sqlite:///PATH", "postgresql://USER:PASSWORD@HOST/DATABASE", "memory:")


def open_store(
    url: str,
    *,
    data_dir: Path,
    read_only: bool = False,
    shards: int | None = None,
    clock: Callable[[], Instant] = wall_clock,
    master: MasterReference | None = None,
) -> Store:
    """Open the store that the URL names, making one that is missing with `shards` shards (16, with SQLite 1).

    `sqlite:///a/b` is relative to the working folder, `sqlite:////a/b` absolute. `clock` counts leases where no
    database does; `master` leads to the master key of what is sealed. Raises `UsageError` for what cannot be used as
    it is, `StoreUnavailable` for what is away just now.
    """
    if url == "memory:":
        return _memory(shards, clock, master)
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        return _sqlite(
            Path(url.removeprefix(SQLITE)), data_dir, shards, clock, master or NO_MASTER, read_only=read_only
        )
    if url.startswith(POSTGRESQL):
        return _postgresql(url, shards, master or NO_MASTER, read_only=read_only)
    raise faults.unknown_url(without_password(url), URLS)


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    hidden = re.sub(r"(://[^:/?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", hidden)


def _memory(shards: int | None, clock: Callable[[], Instant], master: MasterReference | None) -> Store:
    from amends.connectors.stores.memory import MemoryStore  # noqa: PLC0415  only what is asked for

    store = MemoryStore(clock=clock, master=master)
    store.migrate(shards=shards or 1)
    return store


def _sqlite(
    path: Path,
    data_dir: Path,
    shards: int | None,
    clock: Callable[[], Instant],
    master: MasterReference,
    *,
    read_only: bool,
) -> Store:
    from amends.connectors.stores.sqlite import SqliteStore, make_folder  # noqa: PLC0415  the library costs a start 50 ms

    path = _file(path)
    if path.is_relative_to(data_dir.resolve()):
        make_folder(data_dir)
    store = SqliteStore(path, read_only=read_only, clock=clock, master=master)
    store.migrate(shards=shards or 1)
    return store


def _file(path: Path) -> Path:
    """One file, one lock, whatever links lead to it. Raises `UsageError` for what can never be a store."""
    try:
        found = path.resolve()
    except RuntimeError:  # Until Python 3.13: links that lead to each other.
        found = path
    if found.is_symlink() or (found.exists() and not found.is_file()):
        raise faults.not_a_store(str(path), "it is no file")
    return found


def _postgresql(url: str, shards: int | None, master: MasterReference, *, read_only: bool) -> Store:
    try:
        from amends.connectors.stores.postgres import PostgresStore, understands  # noqa: PLC0415  an extra
    except ImportError as error:
        raise faults.extra_missing(str(error)) from error
    if not understands(url):
        raise faults.unknown_url(without_password(url), URLS)
    store = PostgresStore(url, read_only=read_only, master=master)
    store.migrate(shards=shards or 16)
    return store
