"""Signed heads on a real broker: beside the relay, in order, never in its way, and the same again after a kill."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.sink import KafkaSink
from amends.connectors.kafka.topics import settings_of
from amends.coordinator.evidence.held_heads import HeldHeads
from amends.coordinator.evidence.signing import HeadSigner
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.verify import Report
from amends.coordinator.reading.verify_store import verify_all
from amends.coordinator.runtime.checkpoints import Checkpoints
from amends.coordinator.runtime.relay import Relay
from amends.schemas.signed_head import SignedHead, read
from tests.integration.kafka.clients import consume, create_topic
from tests.integration.kafka.relaying import (
    caught_up,
    create_topics,
    eventually,
    new_relay,
    own_of,
    play,
    running,
    store_at,
)
from tests.unit.evidence.bundles import KEY

pytestmark = pytest.mark.timeout(120)


def signing(relay: Relay, address: str, *, every_s: float = 0.1) -> Relay:
    """The same relay, signing."""
    relay.checkpoints = Checkpoints(
        signer=HeadSigner(store=relay.store),
        key=lambda: KEY,
        sink=KafkaSink(KafkaSettings(bootstrap=address), timeout_s=3),
        publishing=relay.publishing,
        held=lambda: relay.leases.held,
        every_s=every_s,
    )
    return relay


def heads(address: str, prefix: str, count: int) -> list[SignedHead]:
    """What is on the topic, by an independent client; each record under its shard."""
    records = consume(address, own_of(prefix).checkpoints, count)
    found = [read(json.loads(value or b"")) for _, value, _ in records]
    assert [key for key, _, _ in records] == [f"{head.store}/{head.shard}".encode() for head in found]
    return found


def faults(store: Store, found: list[SignedHead]) -> list[str]:
    held = HeldHeads(report=Report(), keys=[KEY.public], store=store.incarnation())
    for each in found:
        held.take(each)
    verify_all(store, head_at=held.at)
    held.finish([])
    return [fault.detail for fault in held.report.faults]


async def test_heads_are_signed_while_shards_move_and_at_the_stop(kafka: str, prefix: str, tmp_path: Path) -> None:
    store = store_at("memory:", tmp_path, shards=3)
    own = await create_topics(kafka, prefix)
    await asyncio.to_thread(create_topic, kafka, own.checkpoints)
    relay = signing(new_relay(store, kafka, prefix), kafka)
    async with running(relay):
        for start in range(0, 30, 10):
            play(store, range(start, start + 10))
            relay.wake()
            moved = {row.shard: row.position for row in store.shards()}
            assert relay.checkpoints is not None
            signed = relay.checkpoints._signed
            await eventually(lambda moved=moved, signed=signed: signed == moved, what="all is signed")  # type: ignore[misc]
        await caught_up(relay)
        play(store, range(30, 35))
    found = await asyncio.to_thread(heads, kafka, prefix, 12)
    latest = {head.shard: head.position for head in found}
    assert latest == {row.shard: row.position for row in store.shards()}
    assert len(found) == 12
    assert faults(store, found) == []


async def test_a_topic_that_is_missing_holds_up_no_lane_and_is_signed_to_once_it_is_there(
    kafka: str, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at("memory:", tmp_path)
    own = await create_topics(kafka, prefix)
    relay = signing(new_relay(store, kafka, prefix), kafka)
    caplog.set_level("INFO", "amends")
    async with running(relay):
        play(store, range(20))
        relay.wake()
        await caught_up(relay)
        await eventually(lambda: "heads_not_signed" in caplog.messages, what="it is said")
        play(store, range(20, 40))
        relay.wake()
        await caught_up(relay)
        await asyncio.to_thread(create_topic, kafka, own.checkpoints)
        await eventually(lambda: "heads_signed_again" in caplog.messages, what="it is signed")
    found = await asyncio.to_thread(heads, kafka, prefix, 1)
    assert found[-1].position == store.shards()[0].position
    assert faults(store, found) == []


async def test_a_relay_that_is_killed_and_started_again_signs_the_same(
    kafka: str, prefix: str, postgres: str, tmp_path: Path
) -> None:
    store = store_at(postgres, tmp_path, shards=2)
    own = await create_topics(kafka, prefix)
    await asyncio.to_thread(create_topic, kafka, own.checkpoints)
    await asyncio.to_thread(play, store, range(10))
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.pem)
    settings = {
        "AMENDS_STORE": postgres,
        "AMENDS_BUS": f"kafka://{kafka}",
        "AMENDS_TOPIC_PREFIX": own.prefix,
        "AMENDS_CHECKPOINT_KEY": "${file:key.pem}",
        "AMENDS_CHECKPOINT_EVERY": "1s",
        "AMENDS_LEASE": "1s",
    }
    for number in range(3):
        relay = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("amends")), "relay", cwd=tmp_path, env=settings, stderr=PIPE
        )
        await asyncio.to_thread(heads, kafka, prefix, 2 * (number + 1))
        relay.send_signal(signal.SIGKILL)
        await relay.communicate()
    found = await asyncio.to_thread(heads, kafka, prefix, 6)
    assert len(found) >= 6
    assert len(set(found)) == 2, "each is the same bytes as the one before it"
    assert faults(store, found) == []
    store.close()


def test_the_topic_is_made_to_be_kept(prefix: str) -> None:
    own = own_of(prefix)
    made = settings_of(own.checkpoints, own)
    assert (made["cleanup.policy"], made["retention.ms"], made["retention.bytes"]) == ("delete", "-1", "-1")
