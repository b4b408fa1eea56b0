"""Runs move to an archive whole, verified before anything is deleted, or stay as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amends.connectors.stores import faults
from amends.coordinator.errors import AmendsError, Conflict, FoundFault
from amends.coordinator.evidence.archiving import Archiving
from amends.coordinator.evidence.exporting import Export
from amends.coordinator.evidence.files import written_whole
from amends.coordinator.ports.rows import CLOSED, ArchivedRow, StoredEntry
from amends.coordinator.ports.store import Store
from tests.unit.evidence.bundles import export, in_memory, opened, played


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = in_memory(tmp_path)
    played(store)
    return store


def entries_in(store: Store) -> int:
    return len(store.entries_from(0, after=0, limit=1_000))


def refused(archiving: Archiving) -> AmendsError:
    before = entries_in(archiving.store)
    with pytest.raises(AmendsError) as error:
        list(archiving.move(2**62))
    assert entries_in(archiving.store) == before, "nothing was deleted"
    return error.value


def file_of(store: Store, folder: Path) -> Path:
    """The archive that the store's closed runs move to: its name follows from them."""
    probe = folder / "probe"
    probe.mkdir()
    with pytest.raises(Conflict):
        list(Archiving(store=Unmoved(store), folder=probe).move(2**62))
    (file,) = probe.iterdir()
    return folder / file.name


class Unmoved:
    """A store whose entries changed before they could be deleted."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def archive(self, moved: Sequence[tuple[ArchivedRow, StoredEntry]]) -> None:
        row, _ = moved[0]
        raise faults.archived_otherwise(row.saga_id, row.version)


def test_what_has_ended_moves_and_what_is_open_stays(store: Store, tmp_path: Path) -> None:
    rows = store.runs()
    closed = [row for row in rows if row.status in CLOSED]
    (done,) = Archiving(store=store, folder=tmp_path).move(2**62)
    assert (done.runs, done.entries) == (len(closed), sum(row.version for row in closed))
    found = opened(done.file)
    assert (found.report.ok, found.report.entries) == (True, done.entries)
    assert entries_in(store) == sum(row.version for row in rows if row not in closed) > 0
    assert {row.archive for row in store.archived_of(closed[0].saga_id)} == {done.file.name}
    assert list(Archiving(store=store, folder=tmp_path).move(2**62)) == []


def test_what_was_written_before_a_stop_is_taken_up(store: Store, tmp_path: Path) -> None:
    file = file_of(store, tmp_path)
    closed = [row for row in store.runs() if row.status in CLOSED]
    with written_whole(file) as written:
        Export(store=store, file=written).write(closed)
    before = file.read_bytes()
    (done,) = Archiving(store=store, folder=tmp_path).move(2**62)
    assert (done.file, file.read_bytes()) == (file, before)


def test_a_run_that_does_not_verify_stays_with_all_that_would_move_beside_it(store: Store, tmp_path: Path) -> None:
    row = next(row for row in store.runs() if row.status == "completed")
    entries: Any = store._tables.by_run[row.saga_id]  # type: ignore[attr-defined]
    entries[1] = msgspec.structs.replace(entries[1], data=entries[1].data.replace(b'"actor":"', b'"actor":"x'))
    error = refused(Archiving(store=store, folder=tmp_path))
    assert isinstance(error, FoundFault)
    assert (error.code, row.saga_id in str(error), "hash" in str(error)) == ("AM0342", True, True)


def test_a_file_of_that_name_that_holds_less_deletes_nothing(store: Store, tmp_path: Path) -> None:
    export(store, file_of(store, tmp_path), count=1)
    error = refused(Archiving(store=store, folder=tmp_path))
    assert (error.code, "lacks entries" in str(error)) == ("AM0342", True)


def test_nothing_goes_that_the_relay_has_not_published(store: Store, tmp_path: Path) -> None:
    last = max(
        entry.position for row in store.runs() if row.status in CLOSED for entry in store.entries_of(row.saga_id)
    )
    error = refused(Archiving(store=store, folder=tmp_path, relayed=lambda _: last - 1))
    assert isinstance(error, Conflict)
    assert (error.code, list(tmp_path.glob("*.amends"))) == ("AM0343", [])
    assert len(list(Archiving(store=store, folder=tmp_path, relayed=lambda _: last).move(2**62))) == 1
