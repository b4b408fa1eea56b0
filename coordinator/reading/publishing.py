"""What the log looks like on the bus: entries, outcomes and dead letters as records, the same on every bus."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from amends.coordinator.core.evolve import fold
from amends.coordinator.core.state import State
from amends.coordinator.errors import AmendsError
from amends.coordinator.ports.bus import Outgoing
from amends.coordinator.ports.rows import DeadLetterRow, StoredEntry
from amends.coordinator.reading.histories import Histories
from amends.coordinator.reading.opening import Opening, is_sealed
from amends.coordinator.reading.outcomes import Payloads, has_outcome, outcome_of
from amends.schemas.dead_letter import KEPT_BYTES_MAX, DeadLetter, dead_letter_headers
from amends.schemas.entry import Entry, Inline
from amends.schemas.events import Digest
from amends.schemas.headers import Format, entry_headers, record_headers
from amends.schemas.ids import SagaId
from amends.schemas.instants import text_of
from amends.schemas.outcome import OUTCOMES, Outcome
from amends.schemas.record import Headers

log = logging.getLogger("amends.reading")

Blob = Callable[[Digest], bytes | None]
"""Gives an external payload."""

_NULL: Final = msgspec.Raw(b"null")
_OUTCOME_MARKS: Final = tuple(
    f'"type":"{name}"'.encode()
    for name in ("SagaCompleted", "SagaCompensated", "SagaParked", "SagaKilled", "OutcomeAmended")
)


@dataclass(frozen=True, slots=True)
class OwnTopics:
    """The names of Amends' own topics under their prefix (design, section 7)."""

    prefix: str

    @property
    def outcomes(self) -> str:
        return f"{self.prefix}.outcomes"

    @property
    def audit(self) -> str:
        return f"{self.prefix}.audit"

    @property
    def reviews(self) -> str:
        return f"{self.prefix}.reviews"

    @property
    def decisions(self) -> str:
        return f"{self.prefix}.decisions"

    @property
    def messages(self) -> str:
        return f"{self.prefix}.messages"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def checkpoints(self) -> str:
        return f"{self.prefix}.checkpoints"

    @property
    def published(self) -> frozenset[str]:
        """Those that only Amends writes to."""
        return frozenset({self.outcomes, self.audit, self.reviews, self.dead_letters, self.checkpoints})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A record to publish, and what to publish instead where the topic refuses it for its size; None: nothing."""

    record: Outgoing
    smaller: Outgoing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """Renders records. `group` is the consumer group that dead letters name; `schema_id_of` asks a registry."""

    own: OwnTopics
    namespace: str
    form: Format = "avro"
    schema_id_of: Callable[[str], int | None] = lambda _: None

    @property
    def group(self) -> str:
        """The installation's consumer group (contract, section 3)."""
        return f"{self.own.prefix}.{self.namespace}"

    def audit(self, entry: StoredEntry) -> Publication:
        """Give the entry's own bytes, under its run."""
        try:
            head = _head_decoder.decode(entry.data)
        except msgspec.MsgspecError:  # somebody changed the store: whoever verifies the topic shall see it
            head = _UNREADABLE
        headers = entry_headers(
            namespace=head.namespace,
            saga=head.saga,
            saga_id=entry.saga_id,
            version=entry.version,
            at=head.at,
            traceparent=next((event.traceparent for event in head.events if event.traceparent), None),
        )
        record = Outgoing(topic=self.own.audit, key=entry.saga_id.encode(), value=entry.data, headers=headers)
        return Publication(record=record)

    def ending(self, entry: StoredEntry, histories: Histories, blob: Blob) -> Publication | None:
        """Give the outcome that this entry made. A history that cannot be folded or told has none."""
        if not may_have_outcome(entry):
            return None
        try:
            entries = histories.upto(entry)
            if not has_outcome(entries[-1].events):
                return None
            if is_sealed(entries[0]):
                return self._ended_sealed(entries, histories.opening())
            return self._ended(fold(entries), entries, lambda digest: _payload(entries, digest, blob))
        except AmendsError:
            raise  # the store is away: the outcome is asked for again
        except Exception as error:  # noqa: BLE001  whatever it is, the runs behind this one are published
            said = f"{type(error).__name__}: {error}"
            log.error("outcome_unknown", extra={"saga_id": entry.saga_id, "version": entry.version, "error": said})  # noqa: TRY400
            return None

    def outcome(self, entries: Sequence[Entry], blob: Blob) -> Publication | None:
        """Give the outcome that the last of a run's entries (from its first on) made; None if it made none."""
        if not has_outcome(entries[-1].events):
            return None
        return self._ended(fold(entries), entries, lambda digest: _payload(entries, digest, blob))

    def _ended_sealed(self, entries: Sequence[Entry], opening: Opening) -> Publication:
        """What is published of a sealed run is opened, unless its definition keeps it sealed."""
        opened = [opening.entry(entry) for entry in entries]
        carried = {digest: payload for entry in entries for digest, payload in entry.payloads.items()}
        return self._ended(fold(opened), entries, lambda digest: opening.value(digest, carried[digest]))

    def _ended(self, state: State, entries: Sequence[Entry], payloads: Payloads) -> Publication:
        outcome = outcome_of(state, payloads)
        record = self._outcome(outcome, at=entries[-1].at, traceparent=state.traceparent)
        if outcome.result == _NULL:
            return Publication(record=record)
        without = self._outcome(
            msgspec.structs.replace(outcome, result=_NULL),
            at=entries[-1].at,
            traceparent=state.traceparent,
            more=(("amends-result-omitted", str(len(bytes(outcome.result))).encode()),),
        )
        return Publication(record=record, smaller=without)

    def dead_letter(self, row: DeadLetterRow) -> Publication:
        """Give the original record with the headers that say why it is dead."""
        record = self._dead_letter(row, row.value, None)
        if row.value is None or len(row.value) <= KEPT_BYTES_MAX:
            return Publication(record=record)
        digest = sha256(row.value).hexdigest()
        return Publication(record=record, smaller=self._dead_letter(row, row.value[:KEPT_BYTES_MAX], digest))

    def _outcome(self, outcome: Outcome, *, at: str, traceparent: str | None, more: Headers = ()) -> Outgoing:
        headers = record_headers(
            OUTCOMES,
            self.form,
            event_id=outcome.outcome_id,
            namespace=outcome.namespace,
            saga=outcome.saga,
            saga_id=SagaId(outcome.saga_id),
            version=outcome.log_version,
            at=at,
            traceparent=traceparent,
        )
        if self.form == "json":
            value = OUTCOMES.to_json(outcome)
        else:
            value = OUTCOMES.to_avro(outcome, schema_id=self.schema_id_of(OUTCOMES.name))
        key = outcome.business_key.encode()
        return Outgoing(topic=self.own.outcomes, key=key, value=value, headers=headers + more)

    def _dead_letter(self, row: DeadLetterRow, value: bytes | None, digest: str | None) -> Outgoing:
        letter = DeadLetter(
            n=row.n,
            topic=row.topic,
            partition=row.partition,
            offset=row.offset,
            timestamp_ms=None,
            reason=row.reason,  # type: ignore[arg-type]  # the row holds what intake wrote
            detail=row.detail,
            path=row.path,
            saga=row.saga,
            saga_id=row.saga_id,
            size_bytes=row.size_bytes,
            sha256=digest,
            namespace=self.namespace,
            group=self.group,
            at=text_of(row.at),
        )
        headers = dead_letter_headers(row.headers, letter)
        return Outgoing(topic=self.own.dead_letters, key=row.key, value=value, headers=headers)


def may_have_outcome(entry: StoredEntry) -> bool:
    """Whether it is worth decoding: user data cannot look like this, as every quote in it is escaped."""
    return any(mark in entry.data for mark in _OUTCOME_MARKS)


class _EventHead(msgspec.Struct, frozen=True):
    traceparent: str | None = None


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers need of an entry; the rest is skipped."""

    namespace: str
    saga: str
    at: str
    events: tuple[_EventHead, ...]


_head_decoder: Final = msgspec.json.Decoder(_Head)
_UNREADABLE: Final = _Head(namespace="", saga="", at="1970-01-01T00:00:00.000000Z", events=())


def _payload(entries: Sequence[Entry], digest: Digest, blob: Blob) -> bytes | None:
    for entry in reversed(entries):
        payload = entry.payloads.get(digest)
        if isinstance(payload, Inline):
            return payload.inline.encode()
    return blob(digest)
