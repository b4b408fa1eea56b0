"""A record that its topic refuses holds up its own shard and nobody else, and is told of until it is through."""

import asyncio
import logging
import random

import pytest

from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.sink import KafkaSink
from amends.coordinator.errors import RecordRefused
from amends.coordinator.ports.bus import Outgoing
from amends.coordinator.ports.rows import Batch
from amends.coordinator.ports.store import Store
from amends.testing import ok
from tests.integration.kafka.clients import create_topic, deny_writes, limit_records, set_topic
from tests.integration.kafka.relaying import (
    caught_up,
    create_topics,
    eventually,
    log_of,
    new_relay,
    newest_only,
    play,
    published,
    running,
    store_at,
)
from tests.integration.kafka.test_relay import dead_letter, entries
from tests.servers.secured_kafka import SecuredKafkaServer
from tests.unit.runtime.sagas import Done

LARGE = {"b": ok(Done(key=random.Random(1).randbytes(20_000).hex()))}


@pytest.fixture
def store(tmp_path: object) -> Store:
    return store_at("memory:", tmp_path, shards=4)  # type: ignore[arg-type]


def behind(store: Store) -> set[int]:
    """Shards that are not published to their end."""
    return {row.shard for row in store.shards() if row.position > store.relay_position(row.shard)}


def stands_before_its_wait(store: Store) -> set[int | None]:
    """Shards that are published up to the record that holds them up."""
    return {wait.shard for wait in store.relay_waits() if wait.position == store.relay_position(wait.shard or 0) + 1}


async def test_an_entry_that_its_topic_refuses_holds_up_its_own_shard_alone(
    store: Store, kafka: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "amends.relay")
    own = await create_topics(kafka, prefix, limits={"audit": 5_000})
    play(store, range(20))
    play(store, range(20, 21), LARGE)
    play(store, range(21, 41))
    large = next(row for row in store.runs_by_key("order", "A-20"))
    async with running(new_relay(store, kafka, prefix)) as relay:
        await eventually(lambda: behind(store) == {large.shard}, what="all other shards are published")
        store.append(Batch(dead_letters=tuple(dead_letter(offset) for offset in range(3))))
        play(store, range(41, 61))  # What comes later goes out too, but for what stands behind the record.
        await eventually(lambda: behind(store) == {large.shard}, what="all other shards are published again")
        await eventually(lambda: store.dead_letters_relayed() == 3, what="the dead letters are published")
        (wait,) = store.relay_waits()
        assert (wait.shard, wait.position) == (large.shard, store.relay_position(large.shard) + 1)
        assert f"topic '{own.audit}' refuses a record of " in wait.why
        limit_records(kafka, own.audit, 1_000_000)
        await caught_up(relay)
    assert store.relay_waits() == []
    said = [(record.message, record.__dict__["shard"]) for record in caplog.records if hasattr(record, "position")]
    assert said == [("relay_waits", large.shard), ("relay_goes_on", large.shard)]
    kept, _ = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert kept == log_of(store)


async def test_what_stands_before_the_refused_entry_is_published_and_not_again_at_each_try(
    kafka: str, prefix: str, store: Store
) -> None:
    own = await create_topics(kafka, prefix, limits={"audit": 5_000})
    for first in range(0, 12, 4):
        play(store, range(first, first + 4))
    play(store, range(12, 16), LARGE)
    async with running(new_relay(store, kafka, prefix)) as relay:
        await eventually(lambda: stands_before_its_wait(store) == {0, 1, 2, 3}, what="all shards stand still")
        sent = relay.published
        assert sent >= sum(store.relay_position(shard) for shard in range(4)) > 40
        await asyncio.sleep(1.5)
        assert relay.published == sent
    async with running(new_relay(store, kafka, prefix)) as successor:
        await eventually(lambda: all(shard in successor._holds for shard in range(4)), what="it finds the same")
        limit_records(kafka, own.audit, 1_000_000)
        await caught_up(successor)
    kept, _ = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert kept == log_of(store)


async def test_dead_letters_that_their_topic_refuses_hold_up_no_entry(store: Store, kafka: str, prefix: str) -> None:
    own = await create_topics(kafka, prefix, partitions=1)
    set_topic(kafka, own.dead_letters, "cleanup.policy", "compact")  # It takes no record without a key then.
    store.append(Batch(dead_letters=tuple(dead_letter(offset) for offset in range(5))))
    play(store, range(10))
    async with running(new_relay(store, kafka, prefix)) as relay:
        await eventually(lambda: not behind(store), what="every entry is published")
        await eventually(lambda: bool(store.relay_waits()), what="it is said what is waited for")
        (wait,) = store.relay_waits()
        assert (wait.shard, wait.position) == (None, 1)
        assert f"refuses a record for topic '{own.dead_letters}'" in wait.why
        set_topic(kafka, own.dead_letters, "cleanup.policy", "delete")
        await caught_up(relay)
    records = await asyncio.to_thread(published, kafka, own.dead_letters, 5)
    assert [value for _, value, _ in records] == [b"%d" % offset for offset in range(5)]


async def test_a_right_that_is_missing_for_one_topic_holds_up_what_goes_there_alone(
    store: Store, secured_kafka: SecuredKafkaServer, prefix: str
) -> None:
    login = KafkaSettings(
        bootstrap=secured_kafka.address,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        user=secured_kafka.user_name,
        password=secured_kafka.password,
        ca_file=secured_kafka.ca_file,
    )
    other = {
        "bootstrap.servers": secured_kafka.address,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": secured_kafka.user_name,
        "sasl.password": secured_kafka.password,
        "ssl.ca.location": str(secured_kafka.ca_file),
    }
    own = await create_topics(secured_kafka.address, prefix, settings=login)
    deny_writes(other, secured_kafka.user_name, own.dead_letters, denied=True)
    store.append(Batch(dead_letters=(dead_letter(1),)))
    play(store, range(10))
    relay = new_relay(store, secured_kafka.address, prefix)
    relay.sink = KafkaSink(login)
    async with running(relay):
        await eventually(lambda: not behind(store), what="every entry is published")
        await eventually(lambda: bool(store.relay_waits()), what="it is said what is waited for")
        assert "does not allow alice" in store.relay_waits()[0].why
        assert "AM4108" in store.relay_waits()[0].why
        deny_writes(other, secured_kafka.user_name, own.dead_letters, denied=False)
        await caught_up(relay)


async def test_the_sink_names_the_record_that_a_topic_refuses_among_many(kafka: str, prefix: str) -> None:
    takes, refuses = f"{prefix}takes", f"{prefix}refuses"
    create_topic(kafka, takes)
    create_topic(kafka, refuses, settings={"cleanup.policy": "compact"})
    records = [Outgoing(topic=takes, key=b"k", value=b"%d" % number) for number in range(10)]
    records += [Outgoing(topic=refuses, key=b"k" if number != 4 else None, value=b"x") for number in range(10)]
    sink = KafkaSink(KafkaSettings(bootstrap=kafka))
    try:
        with pytest.raises(RecordRefused, match=f"refuses a record for topic '{refuses}'") as refused:
            await sink.publish(records)
        assert (refused.value.code, refused.value.topic, refused.value.index) == ("AM4111", refuses, 14)
        gone = [Outgoing(topic=f"{prefix}missing", key=None, value=b"x")]
        with pytest.raises(RecordRefused, match="does not exist") as missing:
            await sink.publish([*records[:3], *gone])
        assert (missing.value.code, missing.value.index) == ("AM4104", 3)
        assert len(await sink.publish(records[:14])) == 14
    finally:
        await sink.stop()
