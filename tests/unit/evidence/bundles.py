"""A store in which some runs came to their ends, its heads signed, and a bundle of them."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from amends.connectors.stores import open_store
from amends.coordinator.evidence.bundle import open_bundle
from amends.coordinator.evidence.bundle_log import BundleLog
from amends.coordinator.evidence.exporting import Export
from amends.coordinator.evidence.files import written_whole
from amends.coordinator.evidence.manifest import Manifest
from amends.coordinator.evidence.opening import Findings, verify
from amends.coordinator.evidence.signing import HeadSigner
from amends.coordinator.ports.bus import Outgoing, Place
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.publishing import OwnTopics, Publishing
from amends.coordinator.runtime.checkpoints import Checkpoints
from amends.schemas import strict_json
from amends.schemas.signed_head import SignedHead, read
from amends.schemas.signing import PrivateKey
from amends.testing import fails
from tests.integration.kafka.relaying import play

KEY = PrivateKey.new()


@dataclass
class Heads:
    """Implements `Sink`: a list of signed heads."""

    published: list[SignedHead]

    async def start(self) -> None: ...

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        self.published.extend(read(strict_json.decode(record.value or b"")) for record in records)
        return []

    async def stop(self) -> None: ...


def checkpoints(store: Store, published: list[SignedHead], *, key: PrivateKey = KEY) -> Checkpoints:
    """Signs every shard of the store into a list."""

    return Checkpoints(
        signer=HeadSigner(store=store),
        key=lambda: key,
        sink=Heads(published),
        publishing=Publishing(own=OwnTopics("amends"), namespace="test"),
        held=lambda: [row.shard for row in store.shards()],
        every_s=60,
    )


def played(store: Store, *, key: PrivateKey = KEY) -> list[SignedHead]:
    """Two runs that complete, two that are undone, one that parks; signed after each of these."""
    signed: list[SignedHead] = []
    signing = checkpoints(store, signed, key=key)
    for numbers, replies in (((0, 1), {}), ((2, 3), {"c": fails()}), ((4,), {"c": fails(), "a.undo": fails()})):
        play(store, numbers, replies)
        asyncio.run(signing.turn())
    return signed


def in_memory(folder: Path) -> Store:
    return open_store("memory:", data_dir=folder, shards=1)


def export(store: Store, to: Path, signed: Sequence[SignedHead] = (), *, count: int = 5) -> Manifest:
    """Write the newest runs."""
    with written_whole(to) as file:
        return Export(store=store, file=file, signed=signed).write(store.runs(limit=count))


def opened(path: Path, *, keys: Sequence[PrivateKey] = (KEY,), outside: Sequence[SignedHead] = ()) -> Findings:
    with closing(open_bundle(path)) as bundle:
        return verify(BundleLog(bundle), keys=[key.public for key in keys], outside=outside)


def faults(found: Findings) -> list[str]:
    return sorted({fault.fault for fault in found.report.faults})
