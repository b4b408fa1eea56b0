"""A bundle read as a store is read: what shows and replays runs does not know the difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat

import msgspec

from amends.coordinator.definition.form import StoredDefinition, read_stored
from amends.coordinator.evidence.bundle import Bundle
from amends.coordinator.evidence.manifest import MANIFEST, RunPart, definition_part, payload_part, run_part
from amends.coordinator.ports.rows import (
    CLOSED,
    ArchivedRow,
    DeadLetterRow,
    DefinitionRow,
    LockRow,
    RelayWait,
    RunRow,
    ShardRow,
    StoredEntry,
    SubjectRow,
)
from amends.coordinator.ports.store import LogReading
from amends.coordinator.sealing.master import MasterReference
from amends.schemas.events import Digest, Origin
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


@dataclass(slots=True)
class BundleLog(LogReading):
    """Rows, entries, definitions and payloads of a bundle's runs. It has no shards, no dead letters and no keys.

    What is sealed in it stays sealed.

    Raises `FoundFault` (AM3021) for a part that is not what its name says.
    """

    bundle: Bundle
    master: MasterReference = field(default_factory=lambda: MasterReference(None))
    _runs: dict[SagaId, tuple[RunRow, tuple[int, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        runs = self.bundle.manifest.runs
        if sorted(runs) != sorted({part.split("/")[1] for part in self.bundle.parts("runs")}):
            raise self.bundle.broken(MANIFEST, "names other runs than those that the bundle has")
        for saga_id in runs:
            self._runs[saga_id] = self._read(saga_id)

    @property
    def rows(self) -> list[RunRow]:
        """Every run, by id."""
        return [row for row, _ in self._runs.values()]

    def positions(self, saga_id: SagaId) -> tuple[int, ...]:
        """Where each entry of a run stands in its shard."""
        return self._runs[saga_id][1]

    def entries_of(self, saga_id: SagaId, *, after: int = 0, limit: int = 10_000) -> list[StoredEntry]:
        if saga_id not in self._runs:
            return []
        row, positions = self._runs[saga_id]
        lines = self.bundle.lines(run_part(saga_id, "entries.jsonl"))
        numbered = enumerate(zip(lines, chain(positions, repeat(0)), strict=False), start=1)
        return [
            StoredEntry(saga_id=saga_id, version=version, shard=row.shard, position=position, data=data)
            for version, (data, position) in islice(numbered, after, after + limit)
        ]

    def blob(self, digest: Digest) -> bytes | None:
        part = payload_part(digest)
        return self.bundle.read(part) if part in self.bundle else None

    def run(self, saga_id: SagaId) -> RunRow | None:
        found = self._runs.get(saga_id)
        return None if found is None else found[0]

    def runs_by_id(self, saga_ids: Sequence[SagaId]) -> dict[SagaId, RunRow]:
        return {row.saga_id: row for row in self.rows if row.saga_id in set(saga_ids)}

    def runs_by_prefix(self, prefix: str, *, limit: int = 2) -> list[RunRow]:
        return [row for row in self.rows if row.saga_id.startswith(prefix)][:limit]

    def runs_by_key(self, saga: str, idempotency_key: str) -> list[RunRow]:
        found = [row for row in self.rows if (row.saga, row.idempotency_key) == (saga, idempotency_key)]
        return sorted(found, key=lambda row: row.generation, reverse=True)

    def generations(self, namespace: str, saga: str, idempotency_keys: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self.rows:
            if (row.namespace, row.saga) == (namespace, saga) and row.idempotency_key in idempotency_keys:
                found[row.idempotency_key] = max(row.generation, found.get(row.idempotency_key, 0))
        return found

    def runs(
        self,
        *,
        status: str | None = None,
        saga: str | None = None,
        key: str | None = None,
        since: Instant | None = None,
        limit: int = 100,
        before: tuple[Instant, SagaId] | None = None,
    ) -> list[RunRow]:
        found = [
            row
            for row in self.rows
            if status in {None, row.status}
            and saga in {None, row.saga}
            and key in {None, row.idempotency_key, row.business_key}
            and (since is None or row.started_at >= since)
            and (before is None or (row.started_at, row.saga_id) < before)
        ]
        return sorted(found, key=lambda row: (row.started_at, row.saga_id), reverse=True)[:limit]

    def runs_by_origin(self, topic: str, partition: int, offset: int) -> list[RunRow]:
        origin = Origin(topic=topic, partition=partition, offset=offset)
        return [row for row in self.rows if origin in row.origins]

    def runs_open(self, *, limit: int = 100_000) -> list[RunRow]:
        return [row for row in self.rows if row.status not in CLOSED][:limit]

    def definition(self, digest: str) -> DefinitionRow | None:
        part = definition_part(digest)
        if part not in self.bundle:
            return None
        body = self.bundle.read(part)
        form = self.stored(part, body).form
        return DefinitionRow(hash=digest, name=form.name, version=form.version, body=body, stored_at=0)

    def definitions(self) -> list[DefinitionRow]:
        found = (self.definition(digest) for digest in sorted({row.definition_hash for row in self.rows}))
        return [row for row in found if row is not None]

    def stored(self, part: str, body: bytes) -> StoredDefinition:
        """A definition's body, decoded."""
        try:
            return read_stored(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self.bundle.broken(part, f"is no definition: {error}") from None

    def _read(self, saga_id: SagaId) -> tuple[RunRow, tuple[int, ...]]:
        part = run_part(saga_id, "run.json")
        for each in (part, run_part(saga_id, "entries.jsonl"), run_part(saga_id, "outcomes.jsonl")):
            if each not in self.bundle:
                raise self.bundle.broken(each, "is missing")
        try:
            said = msgspec.json.decode(self.bundle.read(part), type=RunPart)
            row = msgspec.convert(said.row, RunRow)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self.bundle.broken(part, f"is no run's row: {error}") from None
        if row.saga_id != saga_id:
            raise self.bundle.broken(part, f"is the row of run {row.saga_id}")
        return row, said.positions

    # What a bundle does not have.

    def entries_from(self, shard: int, *, after: int, limit: int) -> list[StoredEntry]:
        del shard, after, limit
        return []

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        del shard
        return iter(())

    def accounted(self, namespace: str, saga: str, origins: Sequence[Origin]) -> set[Origin]:
        del namespace, saga, origins
        return set()

    def archived(self, shard: int, *, after: int, limit: int) -> list[ArchivedRow]:
        del shard, after, limit
        return []

    def archived_of(self, saga_id: SagaId) -> list[ArchivedRow]:
        del saga_id
        return []

    def subject_key(self, key_id: str) -> SubjectRow | None:
        del key_id
        return None

    def subject_keys(self, subjects: Sequence[str]) -> dict[str, SubjectRow]:
        del subjects
        return {}

    def shards(self) -> list[ShardRow]:
        return []

    def dead_letters(self, *, after: int = 0, limit: int = 100, whole: bool = True) -> list[DeadLetterRow]:
        del after, limit, whole
        return []

    def dead_letters_count(self) -> int:
        return 0

    def dead_letter(self, n: int) -> DeadLetterRow | None:
        del n
        return None

    def dead_letters_at(self, topic: str, partition: int, offset: int) -> list[DeadLetterRow]:
        del topic, partition, offset
        return []

    def relay_waits(self) -> list[RelayWait]:
        return []

    def locks(self, *, key: str | None = None, saga_id: SagaId | None = None) -> list[LockRow]:  # noqa: ARG002
        """Who holds what now is no part of what happened."""
        return []

    def change_mark(self) -> object:
        return 0

    def close(self) -> None:
        self.bundle.close()
