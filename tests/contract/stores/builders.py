"""Rows for the tests of the stores: true to shape, small, and made from a few words."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from amends.coordinator.ports.rows import (
    Batch,
    DeadLetterRow,
    Duplicate,
    InboxRow,
    Lease,
    LocalRecord,
    RunChange,
    RunRow,
    ShardAppend,
    StoredEntry,
)
from amends.coordinator.ports.store import Role, Store
from amends.schemas.events import Digest, Origin
from amends.schemas.ids import SagaId

T0 = 1_795_262_527_110_000
LEASE_MS = 60_000


def saga_id(name: object) -> SagaId:
    return SagaId(str(uuid5(NAMESPACE_URL, str(name))))


def origin(offset: int, *, topic: str = "billing.refunds", partition: int = 0) -> Origin:
    return Origin(topic=topic, partition=partition, offset=offset)


def run(name: object, *, shard: int = 0, offset: int | None = None, **changes: Any) -> RunRow:
    row = RunRow(
        saga_id=saga_id(name),
        shard=shard,
        namespace="default",
        saga="refund",
        definition_version=3,
        definition_hash="sha256:d",
        idempotency_key=f"R-{name}",
        business_key=f"order-{name}",
        generation=0,
        request_digest=Digest("sha256:r"),
        status="running",
        cause=None,
        version=1,
        started_at=T0,
        updated_at=T0,
        ended_at=None,
        next_due_at=T0 + 30_000_000,
        origins=() if offset is None else (origin(offset),),
    )
    return msgspec.structs.replace(row, **changes)


def change(name: object, **changes: Any) -> RunChange:
    row = RunChange(
        saga_id=saga_id(name),
        status="running",
        cause=None,
        version=2,
        updated_at=T0 + 1,
        ended_at=None,
        next_due_at=None,
    )
    return msgspec.structs.replace(row, **changes)


def entry(name: object, version: int, *, position: int, shard: int = 0, data: bytes | None = None) -> StoredEntry:
    return StoredEntry(
        saga_id=saga_id(name),
        version=version,
        shard=shard,
        position=position,
        data=f'{{"run":"{name}","version":{version}}}'.encode() if data is None else data,
    )


def letter(offset: int, **changes: Any) -> DeadLetterRow:
    row = DeadLetterRow(
        topic="billing.refunds",
        partition=0,
        offset=offset,
        key=b"k",
        value=b"\x00\xff not JSON",
        headers=(("content-type", b"application/json"), ("x", b"\x00\xff")),
        idempotency_key=None,
        saga=None,
        reason="undecodable",
        detail="not JSON",
        path="$.amount",
        saga_id=None,
        size_bytes=10,
        at=T0,
    )
    return msgspec.structs.replace(row, **changes)


def local(topic: str, value: bytes | None = b"{}", *, key: bytes | None = None) -> LocalRecord:
    return LocalRecord(topic=topic, key=key, value=value, headers=(("h", b"\xff"), ("h", b"")), at=T0)


def message(name: str, *, shard: int = 0, body: bytes = b"{}") -> InboxRow:
    return InboxRow(shard=shard, message_id=name, body=body)


def duplicate(name: object, offset: int) -> Duplicate:
    return Duplicate(saga_id=saga_id(name), origin=origin(offset))


def part(
    lease: Lease,
    log: Iterable[tuple[object, int]] = (),
    *,
    started: Sequence[RunRow] = (),
    changed: Sequence[RunChange] = (),
    inbox_done: Sequence[str] = (),
    **changes: Any,
) -> ShardAppend:
    """What this lease's owner appends next, by its own belief; `changes` make that belief wrong."""
    made = tuple(
        entry(name, version, position=position, shard=lease.shard)
        for position, (name, version) in enumerate(log, lease.position + 1)
    )
    row = ShardAppend(
        shard=lease.shard,
        epoch=lease.epoch,
        position=lease.position,
        head=f"head-{lease.position + len(made)}" if made else lease.head,
        entries=made,
        started=tuple(started),
        changed=tuple(changed),
        inbox_done=tuple(inbox_done),
    )
    return msgspec.structs.replace(row, **changes)


class Owner:
    """Owns shards of a store and appends to them one batch after the other, as an engine does."""

    def __init__(self, store: Store, name: str = "worker-1", *, role: Role = "worker", limit: int = 100) -> None:
        self.store = store
        self.name = name
        self.leases = {lease.shard: lease for lease in store.claim(role, name, lease_ms=LEASE_MS, limit=limit)}

    def part(self, shard: int = 0, log: Iterable[tuple[object, int]] = (), **rest: Any) -> ShardAppend:
        return part(self.leases[shard], log, **rest)

    def append(self, *parts: ShardAppend, **rest: Any) -> None:
        self.store.append(Batch(appends=parts, **rest))
        for done in parts:
            self.leases[done.shard] = msgspec.structs.replace(
                self.leases[done.shard], position=done.position + len(done.entries), head=done.head
            )

    def start(self, *names: object, shard: int = 0, **changes: Any) -> None:
        """Start runs, an entry each."""
        rows = [run(name, shard=shard, offset=number, **changes) for number, name in enumerate(names)]
        self.append(self.part(shard, [(name, 1) for name in names], started=rows))
