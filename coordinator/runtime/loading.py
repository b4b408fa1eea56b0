"""Runs into memory: made fresh from a start, or folded from the store."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

from amends.coordinator.core.commands import due_after, missing_handler
from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.messages import Start
from amends.coordinator.core.state import State
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import RunRow, StoredEntry
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.keyring import KeyGone, Keyring
from amends.coordinator.runtime.runs import Run
from amends.coordinator.sealing.keys import KEY_BYTES, KEYED, Seal, SubjectKey, parted
from amends.schemas.entry import External, Inline, Payload, decode
from amends.schemas.events import Digest, Event
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant

RUNS_AT_ONCE = 500
PAGE = 1_000
QUARANTINED = "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A run in the store that cannot be folded."""

    saga_id: SagaId
    shard: int
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """Reads the store; the engine is blocked meanwhile, so it reads one run at a time or a whole shard at once."""

    store: Store
    catalogue: Catalogue
    keyring: Keyring

    def fresh(self, start: Start, shard: int) -> Run:
        """The run of a start that is about to be decided."""
        plan = self.catalogue.newest(start.saga).plan
        state = State(
            namespace=start.namespace,
            saga_id=start.saga_id,
            saga=start.saga,
            definition_version=plan.form.version,
            definition_hash=plan.hash,
            request_digest=start.request_digest,
            origin=start.origin,
        )
        return Run(saga_id=start.saga_id, shard=shard, plan=plan, state=state)

    def load(self, saga_id: SagaId) -> Run | Unreadable | None:
        """Fold one run; None if it is not in the store. Raises `StoreUnavailable`."""
        entries = self._entries_of(saga_id)
        if not entries:
            return None
        try:
            return self._folded(entries)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  it must not take the engine down (rule 19)
            return Unreadable(saga_id=saga_id, shard=entries[0].shard, error=error)

    def open_runs(self, shard: int) -> Iterator[Run | Unreadable]:
        """Fold every open run of a shard, as far as each can be folded."""
        folded = self._open_folded(shard)
        while page := list(islice(folded, RUNS_AT_ONCE)):
            rows = self.store.runs_by_id([run.saga_id for run in page])
            for run in page:
                if isinstance(run, Run):
                    run.told = _told(rows[run.saga_id])
                yield run

    def _open_folded(self, shard: int) -> Iterator[Run | Unreadable]:
        for saga_id, entries in groupby(self.store.open_entries(shard), key=lambda entry: entry.saga_id):
            stored = list(entries)
            try:
                yield self._folded(stored)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  one run that cannot be folded must not delay the others (rule 19)
                yield Unreadable(saga_id=saga_id, shard=shard, error=error)

    def _entries_of(self, saga_id: SagaId) -> list[StoredEntry]:
        """All of them, however many: a definition may allow itself any number."""
        entries = page = self.store.entries_of(saga_id, limit=PAGE)
        while len(page) == PAGE:
            page = self.store.entries_of(saga_id, after=page[-1].version, limit=PAGE)
            entries = [*entries, *page]
        return entries

    def _folded(self, entries: Iterable[StoredEntry]) -> Run:
        state: State | None = None
        payloads: dict[Digest, bytes] = {}
        sealed = _Sealed(self.keyring)
        shard = 0
        last: tuple[Event, ...] = ()
        for stored in entries:
            entry, shard = decode(stored.data), stored.shard
            state, last = fold_entry(state, entry), entry.events
            for digest, payload in entry.payloads.items():
                value = sealed.value(digest, payload) if digest.startswith(KEYED) else self._value(digest, payload)
                if value is not None:
                    payloads[digest] = value
        assert state is not None, "a stored run has at least one entry"
        known = self.catalogue.by_hash(state.definition_hash)
        if known is None:
            raise LookupError(f"definition {state.definition_hash} is in neither the app nor the store")
        seal = sealed.seal(stays=known.plan.form.seal_result, closed=state.closed)
        run = Run(saga_id=state.saga_id, shard=shard, plan=known.plan, state=state, payloads=payloads, seal=seal)
        run.due = due_after(known.plan, state, last)
        return run

    def _value(self, digest: Digest, payload: object) -> bytes | None:
        if isinstance(payload, Inline):
            return payload.inline.encode()
        return self.store.blob(digest) if isinstance(payload, External) else None


@dataclass(slots=True)
class _Sealed:
    """What is sealed of a run that is loaded. Its trigger is, where anything of it is."""

    keyring: Keyring
    key: SubjectKey | None = None
    gone: KeyGone | None = None

    def value(self, digest: Digest, payload: Payload) -> bytes | None:
        """A sealed value; None where nobody can read it any more."""
        text = self.keyring.sealed(digest, payload)
        if text is None or self.gone is not None:
            return None
        key_id = parted(text).key_id
        if self.key is None or self.key.key_id != key_id:
            try:
                self.key = self.keyring.by_id(key_id)
            except KeyGone as gone:
                self.gone = gone
                return None
        return self.key.payload(digest, text)

    def seal(self, *, stays: bool, closed: bool) -> Seal | None:
        """What the run goes on with. Raises `KeyGone` where it is open and its key was erased.

        A closed run takes late replies, nothing else: they are sealed under a key that nobody keeps.
        """
        if self.gone is not None:
            if not closed:
                raise self.gone
            return Seal(SubjectKey(self.gone.key_id, os.urandom(KEY_BYTES)), stays)
        return None if self.key is None else Seal(self.key, stays)


def _told(row: RunRow) -> str | None:
    """What the row says that its run waits for; of a quarantined one that it is one, which is no longer so."""
    return QUARANTINED if row.quarantined else row.waiting_for


def waits_for_handler(run: Run, now: Instant) -> bool:
    """Whether only a handler's arrival moves the run on."""
    return missing_handler(run.plan, run.state, now) is not None
