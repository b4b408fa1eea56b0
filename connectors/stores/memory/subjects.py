"""Subjects and their data keys in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from amends.connectors.stores import faults
from amends.connectors.stores.memory.tables import Part
from amends.coordinator.ports.rows import CLOSED, ERASED, SubjectFacts, SubjectRow, Waited, nobody_waited
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


class Subjects(Part):
    """Keys by their ids, and the runs that were sealed under each."""

    def subject_key(self, key_id: str) -> SubjectRow | None:
        with self._tables.lock:
            return self._tables.subjects.get(key_id)

    def subject_keys(self, subjects: Sequence[str]) -> dict[str, SubjectRow]:
        asked = set(subjects)
        with self._tables.lock:
            rows = self._tables.subjects.values()
            return {row.subject: row for row in rows if row.subject in asked and row.erased_at is None}

    def put_subjects(self, rows: Sequence[SubjectRow]) -> dict[str, SubjectRow]:
        with self._tables.lock:
            for row in rows:
                if not self.subject_keys([row.subject]):
                    self._tables.subjects[row.key_id] = row
            return self.subject_keys([row.subject for row in rows])

    def some_subject(self) -> SubjectRow | None:
        with self._tables.lock:
            return next((row for row in self._tables.subjects.values() if row.erased_at is None), None)

    def subjects(self) -> list[SubjectFacts]:
        with self._tables.lock:
            rows = sorted(self._tables.subjects.values(), key=lambda row: (-row.made_at, row.key_id))
            return [
                SubjectFacts(row=row, runs=len(self._tables.subject_runs[row.key_id]), open_runs=len(self._open(row)))
                for row in rows
            ]

    def subject_runs(self, subject: str) -> list[SagaId]:
        with self._tables.lock:
            keys = [row.key_id for row in self._tables.subjects.values() if row.subject == subject]
            return sorted({saga_id for key_id in keys for saga_id in self._tables.subject_runs[key_id]})

    def hold_subject(self, subject: str, *, reason: str | None, by: str, at: Instant) -> bool:
        with self._tables.lock:
            row = self.subject_keys([subject]).get(subject)
            if row is not None:
                self._tables.subjects[row.key_id] = replace(row, held=reason, held_by=by, held_at=at)
            return row is not None

    def erase_subject(
        self, subject: str, *, reason: str, by: str, at: Instant, waited: Sequence[Waited] = ()
    ) -> SubjectRow | None:
        with self._tables.lock:
            rows = sorted(
                (row for row in self._tables.subjects.values() if row.subject == subject),
                key=lambda row: (row.erased_at is not None, -row.made_at),
            )
            row = rows[0] if rows else None
            if row is None or row.held is not None:
                return row
            if still := self._open(row):
                run = self._tables.runs[still[0]]
                raise faults.subject_busy(
                    run.saga, run.saga_id, run.status, has_ended=run.ended_at is not None, more=len(still) - 1
                )
            for each in rows:
                self._forget(self._tables.subject_runs[each.key_id], set(waited))
            if row.erased_at is not None:
                return row
            erased = replace(row, wrapped=None, erased_at=at, erased_by=by, reason=reason)
            self._tables.subjects[row.key_id] = erased
            self._tables.mark += 1
            return erased

    def scrub(self) -> None:
        """Memory holds no files."""

    def _open(self, row: SubjectRow) -> list[SagaId]:
        runs = self._tables.runs
        return [each for each in sorted(self._tables.subject_runs[row.key_id]) if runs[each].status not in CLOSED]

    def _forget(self, runs: set[SagaId], waited: set[Waited]) -> None:
        """What of these runs stands in clear, and what came for them and was not taken."""
        unclaimed = {nobody_waited(awaited_as, key) for key, awaited_as in waited}
        letters = {
            each.n
            for each in self._tables.dead_letters
            if each.saga_id in runs or (each.reason == "unclaimed" and each.detail in unclaimed)
        }
        messages = [
            message
            for message in self._tables.messages.values()
            if message.taken_by in runs
            or (message.taken_by is None and (message.correlation_key, message.awaited_as) in waited)
        ]
        found = [each for each in self._tables.dead_letters if each.n in letters]
        places = [(at.topic, at.offset) for at, saga_ids in self._tables.origins.items() if saga_ids & runs]
        places += [(each.topic, each.offset) for each in found if each.partition == 0]
        places += [(each.topic, each.offset) for each in messages if each.partition == 0]
        for message in messages:
            bare = replace(message, body="", reason=None, external_id=None, taken_by=message.taken_by or ERASED)
            self._tables.messages[message.message_id] = bare
        for topic, offset in places:
            records = self._tables.topics.get(topic, [])
            if offset < len(records):
                records[offset] = replace(records[offset], key=None, value=None, headers=())
        self._tables.dead_letters = [
            replace(each, key=None, value=None, headers=(), detail="erased") if each.n in letters else each
            for each in self._tables.dead_letters
        ]
        for saga_id in runs:
            self._tables.runs[saga_id] = replace(self._tables.runs[saga_id], request_digest=ERASED)
