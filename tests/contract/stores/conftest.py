"""Each store under one contract: memory, SQLite, PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.store import Store

STORES = [
    pytest.param("memory", id="memory"),
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgres),
]
SHARDS = 3


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Open the store under test: the first time it is made, every other time it is the same one."""
    stores: list[Store] = []
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/amends.db"}.get(request.param) or str(
        request.getfixturevalue("postgres")
    )

    def open_it(*, read_only: bool = False) -> Store:
        if url == "memory:" and stores:
            return stores[0]
        stores.append(open_store(url, data_dir=tmp_path, shards=SHARDS, read_only=read_only))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., Store]) -> Store:
    return opened()
