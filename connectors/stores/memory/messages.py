"""Messages from outside, and what is waited for, in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from amends.connectors.stores.memory.tables import Part
from amends.connectors.stores.messages import delivery
from amends.coordinator.ports.rows import AwaitedRow, MessageRow, ShardAppend
from amends.coordinator.ports.store import LetterOf
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant


class Messages(Part):
    """Both in the order in which they came."""

    def put_messages(self, rows: Sequence[MessageRow]) -> list[bool]:
        with self._tables.lock:
            new = [self._put(row) for row in rows]
            self._tables.mark += 1
            return new

    def messages(self, *, key: str | None = None, limit: int = 100) -> list[MessageRow]:
        with self._tables.lock:
            rows = [row for row in self._tables.messages.values() if key in {None, row.correlation_key}]
            return rows[::-1][:limit]

    def awaited(self, *, key: str | None = None, saga_id: SagaId | None = None, limit: int = 100) -> list[AwaitedRow]:
        with self._tables.lock:
            found = (row for row in self._tables.awaited.values() if key in {None, row.correlation_key})
            return [row for row in found if saga_id in {None, row.saga_id}][:limit]

    def sweep_messages(self, now: Instant, letter_of: LetterOf, *, limit: int = 1_000) -> int:
        with self._tables.lock:
            over = [row for row in self._tables.messages.values() if row.expires_at <= now][:limit]
            for row in over:
                del self._tables.messages[row.message_id]
                if row.taken_by is None:
                    self._put_dead_letter(letter_of(row))
            self._tables.mark += 1
            return len(over)

    def _put(self, row: MessageRow) -> bool:
        if row.message_id in self._tables.messages:
            return False
        if row.offset < 0:
            self._tables.message_number += 1
            row = replace(row, offset=self._tables.message_number)
        self._tables.messages[row.message_id] = row
        self._bring(row)
        return True

    def _bring(self, row: MessageRow) -> None:
        waits = self._tables.awaited
        found = next((each for each in waits.values() if _meet(row, each)), None)
        if found is not None:
            del waits[found.saga_id, found.path]
            self._take(row, found)

    def _take(self, row: MessageRow, awaited: AwaitedRow) -> None:
        brought = delivery(row, awaited)
        self._tables.inbox.setdefault(brought.message_id, brought)
        self._tables.messages[row.message_id] = replace(row, taken_by=awaited.saga_id, body="")

    def _meet_messages(self, append: ShardAppend) -> None:
        """What an append says of waits and messages; inside its transaction."""
        for wait in append.not_awaited:
            self._tables.awaited.pop(wait, None)
        for message_id in append.refused:
            self._tables.messages.pop(message_id, None)
        for row in append.given_back:
            known = self._tables.messages.get(row.message_id)
            if known is None or known.taken_by == row.taken_by:
                kept = replace(row, taken_by=None)
                self._tables.messages[row.message_id] = kept
                self._bring(kept)
        for awaited in append.awaited:
            self._await(awaited)

    def _await(self, awaited: AwaitedRow) -> None:
        now = self._tables.clock()
        kept = (row for row in self._tables.messages.values() if row.taken_by is None and row.expires_at > now)
        found = next((row for row in kept if _meet(row, awaited)), None)
        if found is not None:
            self._take(found, awaited)
        else:
            self._tables.awaited[awaited.saga_id, awaited.path] = awaited


def _meet(message: MessageRow, awaited: AwaitedRow) -> bool:
    return (message.correlation_key, message.awaited_as) == (awaited.correlation_key, awaited.type)
