"""Reruns: the request of a run that has ended, carried out anew at a person's wish (rules 4 and 21).

The former run has ended for good, so whoever races for its next generation meets in the primary key of `runs`: of two
reruns one begins a run, and the other finds it. The trigger is the stored one, the definition today's newest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from amends.coordinator.core.messages import RerunOf, RerunWished, Start
from amends.coordinator.definition.trigger import TriggerInvalid
from amends.coordinator.ports.rows import CLOSED, RunRow
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.forgetting import in_generation
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.keyring import KeyGone, Keyring
from amends.coordinator.runtime.runs import Run
from amends.schemas.canonical import digest as digest_of
from amends.schemas.entry import Entry, decode
from amends.schemas.events import SagaStarted
from amends.schemas.ids import SagaId


class RerunRefused(Exception):
    """Why nothing begins, in words."""


class NotServed(Exception):
    """This worker has no definition of the saga: the wish is for one that has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerunning:
    """Reads the former run; a rerun is rare, so it may ask the store for it alone."""

    store: Store
    catalogue: Catalogue
    namespace: str
    keyring: Keyring

    def start_of(self, wish: Item, runs: Mapping[SagaId, Run]) -> Item:
        """The start of the next generation. Raises `RerunRefused`, `NotServed` or `StoreUnavailable`."""
        assert isinstance(wish.message, RerunWished), "only such a wish names a former run"
        row = self.store.run(wish.saga_id)
        if row is None or row.namespace != self.namespace:
            raise RerunRefused(f"there is no such run in namespace {self.namespace}")
        if row.status not in CLOSED:
            raise RerunRefused(f"it is {row.status}")
        if not self.catalogue.serves(row.saga):
            raise NotServed(row.saga)
        entry, first = self._began(row)
        start = self._next(row, first, RerunOf(former=row.saga_id, reason=wish.message.reason))
        if start.saga_id in runs or self.store.run(start.saga_id) is not None:
            raise RerunRefused(f"generation {start.generation} exists already: {start.saga_id}")
        payload = self._fitting(row.saga, self._trigger(entry, first))
        digest = digest_of(payload)
        message = Start(**{name: getattr(start, name) for name in Start.__struct_fields__} | {"trigger": digest})
        return Item(
            saga_id=start.saga_id,
            message=message,
            cause=wish.cause,
            causation_id=wish.causation_id,
            actor=wish.actor,
            payloads={digest: payload},
            inbox_id=wish.inbox_id,
            shard=wish.shard,
        )

    def _began(self, row: RunRow) -> tuple[Entry, SagaStarted]:
        stored = self.store.entries_of(row.saga_id, limit=1)
        entry = decode(stored[0].data) if stored else None
        if entry is None or not isinstance(entry.events[0], SagaStarted):
            raise RerunRefused("its log is not in the store any more")
        return entry, entry.events[0]

    def _next(self, row: RunRow, first: SagaStarted, rerun: RerunOf) -> Start:
        start = Start(
            namespace=row.namespace,
            saga=row.saga,
            saga_id=row.saga_id,
            idempotency_key=row.idempotency_key,
            business_key=row.business_key,
            generation=row.generation,
            origin=first.origin,
            trigger=first.trigger,
            request_digest=row.request_digest,
            shard=row.shard,
            traceparent=first.traceparent,
            rerun=rerun,
        )
        return in_generation(start, row.generation + 1)

    def _trigger(self, entry: Entry, first: SagaStarted) -> bytes:
        payload = entry.payloads.get(first.trigger)
        try:
            value = None if payload is None else self.keyring.value(first.trigger, payload)
        except KeyGone:
            raise RerunRefused("its subject was erased, and its trigger with it") from None
        if value is None:
            raise RerunRefused("its trigger is not in the store any more")
        return value

    def _fitting(self, saga: str, trigger: bytes) -> bytes:
        """The trigger as the newest definition reads it."""
        known = self.catalogue.newest(saga)
        assert known.closed is not None, "the newest is the app's own"
        try:
            read = known.closed.trigger.read(trigger)
        except TriggerInvalid as error:
            raise RerunRefused(f"its trigger does not fit v{known.closed.version} of the saga: {error}") from None
        return read if known.reads_trigger else trigger
