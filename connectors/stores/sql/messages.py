"""Messages from outside, and what is waited for: whichever comes second finds the other, in one transaction.

A message and a wait of one key that come at the same moment must not miss each other, though neither sees what the
other has not committed: both hold the key's lock until they have (`lock_key`; SQLite has one writer anyway).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from amends.connectors.stores.messages import delivery
from amends.connectors.stores.sql.rare import put_dead_letters
from amends.connectors.stores.sql.work import SqlStore, Work
from amends.coordinator.ports.rows import AwaitedRow, Batch, MessageRow, ShardAppend
from amends.coordinator.ports.store import LetterOf
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

_MESSAGE: Final = MessageRow.__struct_fields__
_COLUMNS: Final = ", ".join('"offset"' if name == "offset" else name for name in _MESSAGE)
_SELECT: Final = f"SELECT {_COLUMNS} FROM messages"
_INSERT: Final = f"""INSERT INTO messages ({_COLUMNS}, awaited_as) VALUES ({"?, " * len(_MESSAGE)}?)
    ON CONFLICT DO NOTHING"""
_AWAITED: Final = AwaitedRow.__struct_fields__
_SELECT_AWAITED: Final = f"SELECT {', '.join(_AWAITED)} FROM awaited"
_AWAIT: Final = f"""INSERT INTO awaited ({", ".join(_AWAITED)}) VALUES ({", ".join("?" for _ in _AWAITED)})
    ON CONFLICT (saga_id, path) DO UPDATE SET correlation_key = excluded.correlation_key, type = excluded.type"""
_BRING: Final = "INSERT INTO inbox (shard, message_id, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"


class SqlMessages(SqlStore):
    """The tables `messages` and `awaited`."""

    def put_messages(self, rows: Sequence[MessageRow]) -> list[bool]:
        with self._writing() as work:
            _lock(work, self.lock_key, (row.correlation_key for row in rows))
            return [_put(work, row) for row in rows]

    def messages(self, *, key: str | None = None, limit: int = 100) -> list[MessageRow]:
        where, params = ("WHERE correlation_key = ?", (key,)) if key is not None else ("", ())
        return [_message(row) for row in self._rows(f"{_SELECT} {where} ORDER BY n DESC LIMIT ?", (*params, limit))]

    def awaited(self, *, key: str | None = None, saga_id: SagaId | None = None, limit: int = 100) -> list[AwaitedRow]:
        asked = {"correlation_key": key, "saga_id": saga_id}
        given = {column: value for column, value in asked.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in given) or "TRUE"
        found = self._rows(f"{_SELECT_AWAITED} WHERE {where} ORDER BY n LIMIT ?", (*given.values(), limit))
        return [_wait(row) for row in found]

    def sweep_messages(self, now: Instant, letter_of: LetterOf, *, limit: int = 1_000) -> int:
        found = self._rows(f"{_SELECT} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?", (now, limit))
        expired = [_message(row) for row in found]
        if not expired:
            return 0
        with self._writing() as work:
            # Deleted one by one: what was taken meanwhile, or swept by somebody else, is no dead letter of ours.
            gone = [
                row
                for row in sorted(expired, key=lambda row: row.message_id)
                if work.change(
                    "DELETE FROM messages WHERE message_id = ? AND expires_at <= ? AND (taken_by IS NULL) = ?",
                    (row.message_id, now, row.taken_by is None),
                )
            ]
            put_dead_letters(work, [letter_of(row) for row in gone if row.taken_by is None])
        return len(expired)


def meet_messages(work: Work, batch: Batch, lock_key: str | None, now: Callable[[], Instant]) -> None:
    """What a batch says of waits and messages; inside its transaction, before any dead letter is numbered."""
    parts = [part for part in batch.appends if part.awaited or part.not_awaited or part.refused or part.given_back]
    if not parts:
        return
    awaited = {row.correlation_key for part in parts for row in part.awaited}
    _lock(work, lock_key, awaited | {row.correlation_key for part in parts for row in part.given_back})
    at = now()
    for part in parts:
        _meet(work, part, at)


def _meet(work: Work, part: ShardAppend, now: Instant) -> None:
    for saga_id, path in part.not_awaited:
        work.change("DELETE FROM awaited WHERE saga_id = ? AND path = ?", (saga_id, path))
    for message_id in part.refused:
        work.change("DELETE FROM messages WHERE message_id = ?", (message_id,))
    for row in part.given_back:
        kept = msgspec.structs.replace(row, taken_by=None)
        back = "UPDATE messages SET taken_by = NULL, body = ? WHERE message_id = ? AND taken_by = ?"
        is_back = work.change(back, (row.body, row.message_id, row.taken_by))
        if is_back or work.change(_INSERT, _values(kept)):  # Swept meanwhile: it is kept once more.
            _bring(work, kept)
    for awaited in part.awaited:
        _await(work, awaited, now)


def _lock(work: Work, lock_key: str | None, keys: Iterable[str]) -> None:
    """In one order everywhere: no two writers in a circle."""
    if lock_key is not None:
        for key in sorted(set(keys)):
            work.rows(lock_key, (key,))


def _put(work: Work, row: MessageRow) -> bool:
    if work.change(_INSERT, _values(row)) == 0:
        return False
    if row.offset < 0:
        work.change('UPDATE messages SET "offset" = n WHERE message_id = ?', (row.message_id,))
        ((offset,),) = work.rows('SELECT "offset" FROM messages WHERE message_id = ?', (row.message_id,))
        row = msgspec.structs.replace(row, offset=offset)
    _bring(work, row)
    return True


def _bring(work: Work, message: MessageRow) -> None:
    """To the oldest wait for its key and type, if there is one."""
    found = work.rows(
        f"{_SELECT_AWAITED} WHERE correlation_key = ? AND type = ? ORDER BY n LIMIT 1",
        (message.correlation_key, message.awaited_as),
    )
    if found:
        awaited = _wait(found[0])
        work.change("DELETE FROM awaited WHERE saga_id = ? AND path = ?", (awaited.saga_id, awaited.path))
        _take(work, message, awaited)


def _await(work: Work, awaited: AwaitedRow, now: Instant) -> None:
    found = work.rows(
        f"""{_SELECT} WHERE correlation_key = ? AND awaited_as = ? AND taken_by IS NULL AND expires_at > ?
        ORDER BY n LIMIT 1""",
        (awaited.correlation_key, awaited.type, now),
    )
    if found:
        _take(work, _message(found[0]), awaited)
    else:
        work.change(_AWAIT, msgspec.structs.astuple(awaited))


def _take(work: Work, message: MessageRow, awaited: AwaitedRow) -> None:
    brought = delivery(message, awaited)
    work.change(_BRING, (brought.shard, brought.message_id, brought.body))
    work.change(
        "UPDATE messages SET taken_by = ?, body = '' WHERE message_id = ?", (awaited.saga_id, message.message_id)
    )


def _values(row: MessageRow) -> tuple[object, ...]:
    return (*msgspec.structs.astuple(row), row.awaited_as)


def _message(row: Sequence[Any]) -> MessageRow:
    return MessageRow(**dict(zip(_MESSAGE, row, strict=True)))


def _wait(row: Sequence[Any]) -> AwaitedRow:
    return AwaitedRow(**dict(zip(_AWAITED, row, strict=True)))
