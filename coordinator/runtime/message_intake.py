"""Records of the messages topic into the store, where they meet who waits for them (design, section 7)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amends.coordinator.ports.rows import Batch, DeadLetterRow, MessageRow
from amends.coordinator.ports.store import Store
from amends.coordinator.redaction import redact
from amends.coordinator.runtime.delivering import unclaimed
from amends.schemas.dead_letter import kept
from amends.schemas.decoding import Writers
from amends.schemas.incoming import NoMessage, read
from amends.schemas.instants import MILLISECOND, Instant
from amends.schemas.record import Record

log = logging.getLogger("amends.messages")

FROM_TOPIC = "topic"
"""The actor of a message that came by the bus."""
SWEPT_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageIntake:
    """Every method raises `StoreUnavailable`; nothing was done then, or all of it may be done again."""

    store: Store
    clock: Callable[[], Instant]
    kept_ms: int
    writers: Writers
    """What a message in Avro may have been written with."""

    def take(self, records: Sequence[Record]) -> None:
        """Keep each that is a message, and write down each that is none. A message that is known by its id is one."""
        now = self.clock()
        rows: list[MessageRow] = []
        letters: list[DeadLetterRow] = []
        for record in records:
            try:
                rows.append(self._row(record, now))
            except NoMessage as error:
                letters.append(_letter(record, error, now))
        if letters:
            self.store.append(Batch(dead_letters=tuple(letters)))
        if rows:
            new = self.store.put_messages(rows)
            log.debug("messages_taken", extra={"new": sum(new), "known": len(new) - sum(new)})

    def sweep(self) -> None:
        """Forget those whose time is over."""
        while self.store.sweep_messages(self.clock(), unclaimed, limit=SWEPT_MAX) == SWEPT_MAX:
            pass

    def _row(self, record: Record, now: Instant) -> MessageRow:
        message = read(record, self.writers)
        return MessageRow(
            message_id=message.message_id,
            correlation_key=message.correlation_key,
            type=message.type,
            answer=message.answer,
            reason=message.reason,
            external_id=message.external_id,
            body=message.body,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            received_at=now,
            expires_at=now + self.kept_ms * MILLISECOND,
            actor=FROM_TOPIC,
        )


def _letter(record: Record, error: NoMessage, now: Instant) -> DeadLetterRow:
    keeping = kept(record.value, error.reason)
    return DeadLetterRow(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=keeping.value,
        headers=record.headers,
        idempotency_key=None,
        saga=None,
        reason=error.reason,
        detail=redact(str(error)[:500]),
        path=error.path,
        saga_id=None,
        size_bytes=keeping.size_bytes,
        at=now,
    )
