"""Runs in a store, a relay over it, and what a reader of the topics makes of what comes."""

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from amends.connectors.kafka.admin import KafkaAdmin
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.sink import KafkaSink
from amends.connectors.kafka.topics import settings_of as topic_settings
from amends.connectors.stores import open_store
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.publishing import OwnTopics, Publishing
from amends.coordinator.runtime.relay import Relay
from amends.coordinator.runtime.relay_leases import RelayLeases
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.replies import Reply, ok
from amends.coordinator.testing.world import World
from amends.schemas.entry import unseal
from tests.integration.kafka.clients import consume
from tests.unit.runtime.sagas import Done, order_saga

LEASE_MS = 1_000
ALL_GOES_WELL = {step: ok(Done(key=step)) for step in "abc"} | {f"{step}.undo": ok() for step in "abc"}
WITHIN_S = 40.0


def own_of(prefix: str) -> OwnTopics:
    return OwnTopics(f"{prefix}amends")


async def create_topics(
    address: str,
    prefix: str,
    *,
    partitions: int = 3,
    settings: KafkaSettings | None = None,
    limits: Mapping[str, int] | None = None,
) -> OwnTopics:
    """Make the topics that a relay publishes to, as `amends topics create` does.

    `limits` are the sizes of their largest records in bytes, by the name that `OwnTopics` has for them. A limit that is
    set later counts some moment later only.
    """
    own = own_of(prefix)
    smaller = {getattr(own, name): {"max.message.bytes": str(size)} for name, size in (limits or {}).items()}
    async with KafkaAdmin.connected(settings or KafkaSettings(bootstrap=address)) as admin:
        for topic in (own.audit, own.outcomes, own.dead_letters):
            wanted = {**topic_settings(topic, own), **smaller.get(topic, {})}
            await admin.create(topic, partitions=partitions, replication=1, settings=wanted)
    return own


def new_relay(store: Store, address: str, prefix: str, *, name: str | None = None, lease_ms: int = LEASE_MS) -> Relay:
    own = own_of(prefix)
    required = (own.audit, own.outcomes, own.dead_letters)
    return Relay(
        store=store,
        sink=KafkaSink(KafkaSettings(bootstrap=address), required=required, timeout_s=3),
        publishing=Publishing(own=own, namespace="test"),
        leases=RelayLeases(store=store, relay=name or f"relay-{uuid.uuid4().hex[:6]}", lease_ms=lease_ms),
    )


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[Relay]:
    """Run it beside the test, and stop it in order."""
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        relay.stop()
        await task


async def caught_up(relay: Relay, *, within_s: float = WITHIN_S) -> None:
    """Wait until everything is published."""
    deadline = time.monotonic() + within_s
    while not await relay.caught_up():
        assert time.monotonic() < deadline, f"the relay lags by {relay.lag} after {within_s} s"
        await asyncio.sleep(0.05)


def store_at(url: str, folder: Path, *, shards: int = 1) -> Store:
    return open_store(url, data_dir=folder, shards=shards)


def play(store: Store, runs: Iterable[int], replies: Mapping[str, Reply] | None = None) -> None:
    """Work off so many orders in this store, by the real engine."""
    clock = Clock()
    clock.now = store.now()
    world = World(store, order_saga(), clock=clock, replies={**ALL_GOES_WELL, **(replies or {})})
    for number in runs:
        world.publish({"id": f"A-{number}"})
    world.run()
    leased = [row.shard for row in store.shards() if row.owner is not None]
    for owner in {row.owner for row in store.shards() if row.owner is not None}:
        store.release("worker", owner, leased, clean=True)


def log_of(store: Store) -> dict[str, list[bytes]]:
    """Every run's entries in the store, in order."""
    found: dict[str, list[bytes]] = {}
    for shard in (row.shard for row in store.shards()):
        after = 0
        while page := store.entries_from(shard, after=after, limit=1_000):
            after = page[-1].position
            for entry in page:
                found.setdefault(entry.saga_id, []).append(entry.data)
    return found


def published(address: str, topic: str, count: int) -> list[tuple[bytes | None, bytes | None, int | None]]:
    """At least `count` records of a topic and whatever else is there, by an independent client."""
    return consume(address, topic, count)


def newest_only(records: Iterable[tuple[bytes | None, bytes | None, int | None]]) -> tuple[dict[str, list[bytes]], int]:
    """What a consumer keeps that drops entries not newer than the run's newest, and how many it dropped.

    Fails where a run has a gap, or an entry's hash or link is wrong: then it was not gapless in its order.
    """
    kept: dict[str, list[bytes]] = {}
    dropped = 0
    previous: dict[str, str] = {}
    for key, value, _ in records:
        assert key is not None
        assert value is not None
        saga_id, entry = key.decode(), json.loads(value)
        known = kept.setdefault(saga_id, [])
        if entry["version"] <= len(known):
            dropped += 1
            continue
        assert entry["version"] == len(known) + 1, f"run {saga_id}: {entry['version']} follows {len(known)}"
        assert entry["previous_hash"] == previous.get(saga_id, "")
        assert hashlib.sha256(unseal(value)).hexdigest() == entry["hash"]
        previous[saga_id] = entry["hash"]
        known.append(value)
    return kept, dropped


async def eventually(condition: Callable[[], bool], *, what: str, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        await asyncio.sleep(0.02)
