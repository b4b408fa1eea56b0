"""Subjects and their data keys: made, held, erased."""

from collections.abc import Sequence
from typing import Any, Final

from amends.connectors.stores import faults
from amends.connectors.stores.sql.tables import OPEN
from amends.connectors.stores.sql.work import SqlStore, Work
from amends.coordinator.errors import KeyErased
from amends.coordinator.ports.rows import ERASED, SubjectFacts, SubjectRow, Waited, nobody_waited
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

_COLUMNS: Final = SubjectRow.__struct_fields__
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM subjects"
_INSERT: Final = f"""INSERT INTO subjects ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" for _ in _COLUMNS)})
    ON CONFLICT DO NOTHING"""
_OF_KEY: Final = "SELECT saga_id FROM subject_runs WHERE key_id = ?"
_RECORDS: Final = tuple(
    f"""UPDATE records SET key = NULL, value = NULL, headers = '[]' WHERE EXISTS (
        SELECT 1 FROM {table} o WHERE o.topic = records.topic AND o.partition = 0 AND o."offset" = records."offset"
        AND o.{run} IN ({_OF_KEY}))"""
    for table, run in (("origins", "saga_id"), ("dead_letters", "saga_id"), ("messages", "taken_by"))
)
"""Records of local topics: triggers that began or repeated runs or were in conflict with one, messages taken."""
_MESSAGES: Final = f"UPDATE messages SET body = '', reason = NULL, external_id = NULL WHERE taken_by IN ({_OF_KEY})"
_UNTAKEN: Final = "taken_by IS NULL AND correlation_key = ? AND awaited_as = ?"
_LETTERS: Final = f"""UPDATE dead_letters SET key = NULL, value = NULL, headers = '[]', detail = 'erased'
    WHERE saga_id IN ({_OF_KEY})"""
_DIGESTS: Final = f"UPDATE runs SET request_digest = '{ERASED}' WHERE saga_id IN ({_OF_KEY})"
_ERASE: Final = "UPDATE subjects SET wrapped = NULL, erased_at = ?, erased_by = ?, reason = ? WHERE key_id = ?"


class SqlSubjects(SqlStore):
    """The table `subjects`, and `subject_runs` beside it."""

    def subject_key(self, key_id: str) -> SubjectRow | None:
        found = self._rows(f"{_SELECT} WHERE key_id = ?", (key_id,))
        return _row(found[0]) if found else None

    def subject_keys(self, subjects: Sequence[str]) -> dict[str, SubjectRow]:
        found = self._rows(
            f"{_SELECT} WHERE erased_at IS NULL AND subject {self.among}", (self._many(sorted(subjects)),)
        )
        return {row.subject: row for row in map(_row, found)}

    def put_subjects(self, rows: Sequence[SubjectRow]) -> dict[str, SubjectRow]:
        with self._writing() as work:
            for row in sorted(rows, key=lambda row: row.subject):  # one order everywhere: no two writers in a circle
                work.change(_INSERT, [getattr(row, column) for column in _COLUMNS])
        return self.subject_keys([row.subject for row in rows])

    def some_subject(self) -> SubjectRow | None:
        found = self._rows(f"{_SELECT} WHERE erased_at IS NULL LIMIT 1")
        return _row(found[0]) if found else None

    def subjects(self) -> list[SubjectFacts]:
        columns = ", ".join(f"s.{column}" for column in _COLUMNS)
        found = self._rows(
            f"""SELECT {columns}, count(r.saga_id), count(CASE WHEN {OPEN.replace("status", "r.status")} THEN 1 END)
            FROM subjects s LEFT JOIN subject_runs k ON k.key_id = s.key_id LEFT JOIN runs r ON r.saga_id = k.saga_id
            GROUP BY {columns} ORDER BY s.made_at DESC, s.key_id"""
        )
        return [SubjectFacts(row=_row(columns), runs=runs, open_runs=open_) for *columns, runs, open_ in found]

    def subject_runs(self, subject: str) -> list[SagaId]:
        found = self._rows(
            """SELECT k.saga_id FROM subject_runs k JOIN subjects s ON s.key_id = k.key_id WHERE s.subject = ?
            ORDER BY k.saga_id""",
            (subject,),
        )
        return [row[0] for row in found]

    def hold_subject(self, subject: str, *, reason: str | None, by: str, at: Instant) -> bool:
        with self._writing() as work:
            held = "UPDATE subjects SET held = ?, held_by = ?, held_at = ? WHERE subject = ? AND erased_at IS NULL"
            return work.change(held, (reason, by, at, subject)) > 0

    def erase_subject(
        self, subject: str, *, reason: str, by: str, at: Instant, waited: Sequence[Waited] = ()
    ) -> SubjectRow | None:
        with self._writing() as work:
            self._before_erasing(work)
            every = f"{_SELECT} WHERE subject = ? ORDER BY erased_at IS NOT NULL, made_at DESC{self._locked}"
            found = [_row(columns) for columns in work.rows(every, (subject,))]
            if not found or found[0].held is not None:
                return found[0] if found else None
            still = work.rows(
                f"SELECT saga_id, saga, status, ended_at FROM runs WHERE {OPEN} AND saga_id IN ({_OF_KEY})"
                " ORDER BY saga_id",
                (found[0].key_id,),
            )
            if still:
                saga_id, saga, status, ended_at = still[0]
                raise faults.subject_busy(saga, saga_id, status, has_ended=ended_at is not None, more=len(still) - 1)
            for row in found:  # Of one that was erased before, what was repeated since.
                for statement in (*_RECORDS, _MESSAGES, _LETTERS, _DIGESTS):
                    work.change(statement, (row.key_id,))
            for key, awaited_as in waited:
                _forget_untaken(work, key, awaited_as)
            if found[0].erased_at is not None:
                return found[0]
            work.change(_ERASE, (at, by, reason, found[0].key_id))
            return _row(work.rows(f"{_SELECT} WHERE key_id = ?", (found[0].key_id,))[0])

    @property
    def _locked(self) -> str:
        """What keeps a run from beginning under the key meanwhile; nothing where there is one writer anyway."""
        return " FOR UPDATE" if self.for_update else ""

    def _before_erasing(self, work: Work) -> None:
        """What a database needs to be told so that nothing stays of what is overwritten."""


def begin_sealed(work: Work, sealed: Sequence[tuple[str, SagaId]], *, lock: str) -> None:
    """Part of the append: note which run begins under which key. Raises `KeyErased`; the caller rolls back then."""
    note = f"INSERT INTO subject_runs SELECT key_id, ? FROM subjects WHERE key_id = ? AND erased_at IS NULL{lock}"
    gone = [key_id for key_id, saga_id in sorted(sealed) if not work.change(note, (saga_id, key_id))]
    if gone:
        raise KeyErased(gone)


def _forget_untaken(work: Work, key: str, awaited_as: str) -> None:
    """Messages that came for the wait when it was over; as dead letters too, for whom nobody waited in their time."""
    letters = "reason = 'unclaimed' AND detail = ?"
    unclaimed = nobody_waited(awaited_as, key)
    of_record = 'o.topic = records.topic AND o.partition = 0 AND o."offset" = records."offset"'
    bare = "UPDATE records SET key = NULL, value = NULL, headers = '[]' WHERE EXISTS (SELECT 1 FROM"
    work.change(f"{bare} messages o WHERE {of_record} AND {_UNTAKEN})", (key, awaited_as))
    work.change(f"{bare} dead_letters o WHERE {of_record} AND o.{letters})", (unclaimed,))
    forget = f"UPDATE messages SET taken_by = '{ERASED}', body = '', reason = NULL, external_id = NULL WHERE {_UNTAKEN}"
    work.change(forget, (key, awaited_as))
    gone = "UPDATE dead_letters SET key = NULL, value = NULL, headers = '[]', detail = 'erased'"
    work.change(f"{gone} WHERE {letters}", (unclaimed,))


def _row(columns: Sequence[Any]) -> SubjectRow:
    return SubjectRow(**dict(zip(_COLUMNS, columns, strict=True)))
