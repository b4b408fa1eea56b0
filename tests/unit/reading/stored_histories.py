"""Golden histories in a real store, as far as they have come: what a command finds there at any of their versions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from amends.connectors.stores import open_store
from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.core.state import State
from amends.coordinator.core.waiting import open_waits, waited_for
from amends.coordinator.definition.form import DefinitionForm, StoredDefinition
from amends.coordinator.ports.rows import ANSWER, AwaitedRow, Batch, DefinitionRow, RunRow, ShardAppend, StoredEntry
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.locking import lock_changes
from amends.coordinator.runtime.run_rows import change_of
from amends.schemas.canonical import encode
from amends.schemas.chain import next_head
from amends.schemas.entry import Entry, decode
from tests.replay.recording import read

_NULL = msgspec.Raw(b"null")


@dataclass(slots=True)
class StoredHistory:
    """A SQLite store in `folder` with one run, which comes on by an entry at a time."""

    name: str
    folder: Path
    plan: Plan = field(init=False)
    state: State | None = None
    _epoch: int = 0
    _position: int = 0
    _head: str = ""

    def __post_init__(self) -> None:
        form = msgspec.json.decode(read(self.name).definition, type=DefinitionForm)
        self.plan = plan_of(form)
        with self.open() as store:
            body = encode(StoredDefinition(form=form, schemas={}, trigger_schema=_NULL))
            store.put_definition(
                DefinitionRow(hash=self.plan.hash, name=form.name, version=form.version, body=body, stored_at=0)
            )
            (lease,) = store.claim("worker", "writer", lease_ms=1_000, limit=1)
            self._epoch, self._position, self._head = lease.epoch, lease.position, lease.head

    def open(self) -> "_Opened":
        """The store, to be closed again."""
        return _Opened(open_store(f"sqlite:///{self.folder / 'amends.db'}", data_dir=self.folder))

    def versions(self) -> Iterator[State]:
        """Bring the next entry into the store, and give the state after it; to the end."""
        for data in read(self.name).entries:
            entry = decode(data)
            before, self.state = self.state, fold_entry(self.state, entry)
            with self.open() as store:
                self._append(store, data, entry, before, self.state)
            yield self.state

    def _append(self, store: Store, data: bytes, entry: Entry, before: State | None, state: State) -> None:
        self._position, former, self._head = self._position + 1, self._head, next_head(self._head, entry.hash)
        stored = StoredEntry(saga_id=entry.saga_id, version=entry.version, shard=0, position=self._position, data=data)
        waiting_for = waited_for(self.plan, state) if self.plan.waits else None
        were, are = open_waits(before) if before is not None else {}, open_waits(state)
        append = ShardAppend(
            shard=0,
            epoch=self._epoch,
            position=self._position - 1,
            head=self._head,
            entries=(stored,),
            started=(row_of(state, waiting_for),) if before is None else (),
            changed=() if before is None else (change_of(state, None, waiting_for=waiting_for),),
            inbox_done=(),
            awaited=tuple(
                AwaitedRow(
                    saga_id=state.saga_id,
                    path=path,
                    shard=0,
                    correlation_key=awaited.correlation or "",
                    type=awaited.message_type or ANSWER,
                )
                for path, awaited in are.items()
                if path not in were
            ),
            not_awaited=tuple((state.saga_id, path) for path in were if path not in are),
        )
        assert former != self._head, "every entry moves the head"
        store.append(Batch(appends=(append,), locks=tuple(lock_changes(state, entry.events, shard=0))))


class _Opened:
    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> Store:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def row_of(state: State, waiting_for: str | None) -> RunRow:
    """The row of a run in this state."""
    return RunRow(
        saga_id=state.saga_id,
        shard=0,
        namespace=state.namespace,
        saga=state.saga,
        definition_version=state.definition_version,
        definition_hash=state.definition_hash,
        idempotency_key=state.idempotency_key,
        business_key=state.business_key,
        generation=state.generation,
        request_digest=state.request_digest,
        status=state.status if waiting_for is None else "waiting",
        waiting_for=waiting_for,
        cause=state.cause,
        version=state.version,
        started_at=state.started_at,
        updated_at=state.at,
        ended_at=state.ended_at,
        next_due_at=None,
        origins=() if state.origin is None else (state.origin,),
    )
