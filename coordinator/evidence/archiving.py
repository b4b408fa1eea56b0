"""Moving what has ended long ago out of the log: into bundles, verified before anything is deleted.

A bundle is written, synced, opened again and verified whole; only then its entries are deleted, in one transaction
that notes their places and hashes. Whatever stops it in between leaves the log as it was, or the log as it is to be;
to run it again takes up the same runs, finds their bundle, and goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from amends.coordinator.errors import Conflict, FoundFault
from amends.coordinator.evidence.bundle import open_bundle
from amends.coordinator.evidence.bundle_log import BundleLog
from amends.coordinator.evidence.exporting import Export
from amends.coordinator.evidence.files import written_whole
from amends.coordinator.evidence.opening import verify
from amends.coordinator.ports.rows import ArchivedRow, RunRow, StoredEntry
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.history import stored
from amends.schemas.canonical import sha256_hex
from amends.schemas.entry import decode
from amends.schemas.instants import Instant

RUNS_AT_ONCE: Final = 200
SUFFIX: Final = ".amends"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """One archive file, and what has moved there."""

    file: Path
    runs: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiving:
    """`relayed` says how far a shard has been published, where the bus is not the store itself."""

    store: Store
    folder: Path
    relayed: Callable[[int], int] | None = None

    def move(self, before: Instant) -> Iterator[Archived]:
        """Archive by archive. Raises `Conflict` (AM0341, AM0343), `FoundFault` (AM0342), and what a bundle raises."""
        while rows := self.store.archivable(before, limit=RUNS_AT_ONCE):
            yield self._moved(rows)

    def _moved(self, rows: Sequence[RunRow]) -> Archived:
        file = self.folder / (_name_of(rows) + SUFFIX)
        for row in rows:
            self._published(row)
        if not file.exists():
            with written_whole(file) as written:
                Export(store=self.store, file=written).write(rows)
        moved = _verified(file, rows)
        self.store.archive(moved)
        return Archived(file=file, runs=len(rows), entries=len(moved))

    def _published(self, row: RunRow) -> None:
        """What nobody has read yet must not go."""
        if self.relayed is None:
            return
        last = max((entry.position for entry in stored(self.store, row.saga_id)), default=0)
        if last > (position := self.relayed(row.shard)):
            raise Conflict(
                "AM0343",
                f"run {row.saga_id} reaches to {last} in shard {row.shard}, the relay has published up to {position}",
                do="let the relay catch up (amends relay, amends store status), then archive again",
            )


def _verified(file: Path, rows: Sequence[RunRow]) -> list[tuple[ArchivedRow, StoredEntry]]:
    """What the file holds, read back from it: that is what may be deleted."""
    bundle = open_bundle(file)
    try:
        log = BundleLog(bundle)
        report = verify(log).report
        if report.faults:
            fault = report.faults[0]
            raise FoundFault(
                "AM0342",
                f"{file} does not verify ({fault.fault}: {fault.detail}, run {fault.saga_id}); nothing was deleted",
                do="`amends audit verify` names every fault of the log; delete the file before you archive again",
            )
        moved = [
            (_stub(entry, file), entry) for row in rows for entry in log.entries_of(row.saga_id, limit=row.version)
        ]
        if len(moved) != sum(row.version for row in rows):
            raise FoundFault(
                "AM0342",
                f"{file} lacks entries of its runs; nothing was deleted",
                do="delete the file, then archive again",
            )
        return moved
    finally:
        bundle.close()


def _stub(entry: StoredEntry, file: Path) -> ArchivedRow:
    return ArchivedRow(
        saga_id=entry.saga_id,
        version=entry.version,
        shard=entry.shard,
        position=entry.position,
        hash=decode(entry.data).hash,
        archive=file.name,
    )


def _name_of(rows: Sequence[RunRow]) -> str:
    """The same for the same runs, so that whoever begins again finds what was written."""
    return "archive-" + sha256_hex("\n".join(f"{row.saga_id} {row.version}" for row in rows).encode())[:16]
