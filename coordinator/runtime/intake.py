"""Intake: what a trigger record becomes. New, a duplicate, a conflict, a dead letter, or nothing new (rules 4 to 6)."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from amends.coordinator.core.messages import RerunWished, Start
from amends.coordinator.ports.rows import DeadLetterRow, Duplicate, InboxRow
from amends.coordinator.ports.store import Store
from amends.coordinator.redaction import redact, redact_json
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.forgetting import Forgetting, Known
from amends.coordinator.runtime.inbound import OURSELVES, Item
from amends.coordinator.runtime.keyring import Keyring
from amends.coordinator.runtime.rerunning import NotServed, Rerunning, RerunRefused
from amends.coordinator.runtime.runs import Run
from amends.coordinator.runtime.sealed_starts import SealedStarts
from amends.coordinator.sealing.keys import Seal
from amends.schemas import wishes
from amends.schemas.canonical import digest as digest_of
from amends.schemas.dead_letter import Reason, kept
from amends.schemas.events import Origin
from amends.schemas.ids import SagaId, saga_id_of
from amends.schemas.instants import Instant
from amends.schemas.keys import BadKey
from amends.schemas.record import Record
from amends.schemas.trigger import Accepted, Rejected, TopicSpec, read


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A start, a duplicate or a dead letter, or none of them for a redelivery."""

    start: Item | None = None
    record: Record | None = None
    """What the start was read from."""
    duplicate: Duplicate | None = None
    dead_letter: DeadLetterRow | None = None
    seal: Seal | None = None
    """How the run that starts is sealed, if it is."""


NOTHING_NEW = Taken()
LEFT = Taken()
"""A wish about a saga that this worker's app does not have: it stays in the inbox, for an owner that has it."""

log = logging.getLogger("amends.intake")


@dataclass(slots=True, kw_only=True)
class Intake:
    """Decides against memory first, then against the store's index of runs."""

    store: Store
    catalogue: Catalogue
    namespace: str
    keyring: Keyring
    _topics: dict[str, TopicSpec] = field(init=False)
    _forgetting: Forgetting = field(init=False)
    _rerunning: Rerunning = field(init=False)
    _sealed: SealedStarts = field(init=False)

    def __post_init__(self) -> None:
        self._topics = self.catalogue.topics()
        self._forgetting = Forgetting(
            store=self.store, namespace=self.namespace, dedup_for_us=self.catalogue.dedup_for_us()
        )
        self._sealed = SealedStarts(catalogue=self.catalogue, keyring=self.keyring)
        self._rerunning = Rerunning(
            store=self.store, catalogue=self.catalogue, namespace=self.namespace, keyring=self.keyring
        )

    def take(self, records: Sequence[Record], runs: Mapping[SagaId, Run], now: Instant) -> Iterator[Taken]:
        """What each record becomes, in order. Lazy: a start that was admitted is seen by the records after it."""
        answers = [(record, answer) for record in records for answer in self._read(record)]
        starts = [
            (record, self._start(record, answer) if isinstance(answer, Accepted) else answer)
            for record, answer in answers
        ]
        known = self._forgetting.ask([_start_of(start) for _, start in starts if isinstance(start, Item)], now)
        self._sealed.ask((start for _, start in starts if isinstance(start, Item)), known.runs, now)
        for record, start in starts:
            if isinstance(start, Rejected):
                yield Taken(dead_letter=self._dead_letter(record, start, now))
            else:
                yield self._compare(start, record, runs, known, now)

    def take_wish(self, item: Item, runs: Mapping[SagaId, Run], now: Instant) -> Taken:
        """The same for a start that came through the inbox, and for a rerun."""
        if isinstance(item.message, RerunWished):
            return self._take_rerun(item, runs, now)
        if not self.catalogue.serves(_start_of(item).saga):
            return LEFT
        try:
            item = self._sealed.named(item)
        except BadKey as error:
            return Taken(dead_letter=_refused(item, None, now, reason="invalid", detail=str(error)))
        return self._compare(item, None, runs, self._forgetting.ask([_start_of(item)], now), now)

    def _take_rerun(self, wish: Item, runs: Mapping[SagaId, Run], now: Instant) -> Taken:
        try:
            start = self._sealed.named(self._rerunning.start_of(wish, runs))
            return Taken(start=start, seal=self._sealed.seal_of(start, now))
        except (RerunRefused, BadKey) as refused:
            log.warning("rerun_refused", extra={"saga_id": wish.saga_id, "actor": wish.actor, "why": str(refused)})
            return NOTHING_NEW
        except NotServed as error:
            log.warning("rerun_left", extra={"saga_id": wish.saga_id, "saga": str(error)})
            return LEFT

    def hand_on(self, item: Item) -> InboxRow:
        """The start as a row of the inbox of the shard with the fewest open runs; its origin makes it unique."""
        start, open_runs = _start_of(item), self.store.load()
        shard = min(open_runs, key=open_runs.__getitem__)
        wish = wishes.Start(
            actor=OURSELVES,
            saga=start.saga,
            definition_version=0,
            idempotency_key=start.idempotency_key,
            business_key=start.business_key,
            generation=start.generation,
            origin=start.origin,
            trigger=item.payloads[start.trigger].decode(),
            request_digest=start.request_digest,
            traceparent=start.traceparent,
        )
        return InboxRow(shard=shard, message_id=f"start:{item.causation_id}:{item.saga_id}", body=wishes.write(wish))

    def _read(self, record: Record) -> tuple[Accepted | Rejected, ...]:
        spec = self._topics.get(record.topic) or TopicSpec(topic=record.topic, acceptors=())
        if record.unreadable is not None:
            return (Rejected(reason="undecodable", detail=record.unreadable, path=""),)
        return read(record, spec)

    def _start(self, record: Record, accepted: Accepted) -> Item | Rejected:
        known = self.catalogue.newest(accepted.saga)
        payload, digest = accepted.payload, accepted.payload_digest
        if known.reads_trigger and known.closed is not None:
            payload = known.closed.trigger.read(payload)
            digest = digest_of(payload)
        if (clean := redact_json(payload)) is not payload:
            payload, digest = clean, digest_of(clean)  # Nothing secret is ever in an entry (rule 17).
        saga_id = saga_id_of(namespace=self.namespace, saga=accepted.saga, idempotency_key=accepted.idempotency_key)
        origin = Origin(topic=record.topic, partition=record.partition, offset=record.offset)
        start = Start(
            saga=accepted.saga,
            namespace=self.namespace,
            saga_id=saga_id,
            idempotency_key=accepted.idempotency_key,
            business_key=accepted.business_key or saga_id,
            generation=0,
            origin=origin,
            trigger=digest,
            request_digest=accepted.request_digest,
            shard=0,
            traceparent=accepted.traceparent,
        )
        place = f"{record.topic}:{record.partition}:{record.offset}"
        item = Item(saga_id=saga_id, message=start, cause="trigger", causation_id=place, payloads={digest: payload})
        try:
            return self._sealed.named(item)
        except BadKey as error:
            return Rejected(
                reason="invalid",
                detail=error.detail,
                path=error.path,
                saga=accepted.saga,
                idempotency_key=accepted.idempotency_key,
            )

    def _compare(
        self,
        item: Item,
        record: Record | None,
        runs: Mapping[SagaId, Run],
        known: Known,
        now: Instant,
    ) -> Taken:
        start = _start_of(item)
        if known.had(start):
            return NOTHING_NEW
        current = known.current(start)
        if current is not start:
            start, item = current, item.with_message(current, saga_id=current.saga_id)
        run, row = runs.get(item.saga_id), known.runs.get(item.saga_id)
        if run is None and row is None:
            return Taken(start=item, record=record, seal=self._sealed.seal_of(item, now))
        known_digest = run.state.request_digest if run is not None else row.request_digest if row is not None else ""
        known_origins = (*((run.state.origin,) if run is not None else ()), *(row.origins if row is not None else ()))
        if start.origin is not None and start.origin in known_origins:
            return NOTHING_NEW
        if not self._sealed.is_same(known_digest, start, run):
            detail = f"the key {start.idempotency_key!r} belongs to run {item.saga_id}, which has another payload"
            return Taken(dead_letter=_refused(item, record, now, reason="conflict", detail=detail))
        if start.origin is None:
            return NOTHING_NEW
        return Taken(duplicate=Duplicate(saga_id=item.saga_id, origin=start.origin))

    def _dead_letter(self, record: Record, rejected: Rejected, now: Instant) -> DeadLetterRow:
        keeping = kept(record.value, rejected.reason)
        return DeadLetterRow(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=keeping.value,
            headers=record.headers,
            idempotency_key=rejected.idempotency_key,
            saga=rejected.saga,
            reason=rejected.reason,
            detail=redact(rejected.detail),
            path=rejected.path or None,
            saga_id=None,
            size_bytes=keeping.size_bytes,
            at=now,
        )


def undecided(taken: Taken, now: Instant, error: Exception) -> DeadLetterRow | None:
    """The dead letter of a start that raised when it was to be decided; None if it has no record behind it.

    A rerun has none: its record became the former run.
    """
    assert taken.start is not None, "only a start is decided"
    if _start_of(taken.start).rerun is not None:
        log.error("rerun_undecided", extra={"saga_id": taken.start.saga_id, "why": f"{type(error).__name__}: {error}"})
        return None
    detail = f"the coordinator could not start its run: {type(error).__name__}: {error}"
    return _refused(taken.start, taken.record, now, reason="invalid", detail=detail)


def _refused(item: Item, record: Record | None, now: Instant, *, reason: Reason, detail: str) -> DeadLetterRow | None:
    start = _start_of(item)
    origin = start.origin
    if origin is None:
        return None
    value = record.value if record is not None else item.payloads[start.trigger]
    return DeadLetterRow(
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        key=record.key if record is not None else None,
        value=value,
        headers=record.headers if record is not None else (),
        idempotency_key=start.idempotency_key,
        saga=start.saga,
        reason=reason,
        detail=redact(detail),
        path=None,
        saga_id=item.saga_id if reason == "conflict" else None,
        size_bytes=len(value or b""),
        at=now,
    )


def _start_of(item: Item) -> Start:
    assert isinstance(item.message, Start), "intake is given nothing but starts"
    return item.message
