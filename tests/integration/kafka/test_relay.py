"""The relay on a real broker: complete, in order, resumable, shared, and patient."""

import asyncio
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.sink import KafkaSink
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.rows import Batch, DeadLetterRow
from amends.coordinator.ports.store import Store
from amends.schemas.outcome import OUTCOMES
from amends.testing import fails, ok
from tests.integration.kafka.clients import create_topic, limit_records
from tests.integration.kafka.relaying import (
    LEASE_MS,
    caught_up,
    create_topics,
    eventually,
    log_of,
    new_relay,
    newest_only,
    own_of,
    play,
    published,
    running,
    store_at,
)
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.secured_kafka import SecuredKafkaServer
from tests.unit.runtime.sagas import Done

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_at("memory:", tmp_path)


def entries(store: Store) -> int:
    return sum(row.position for row in store.shards())


async def test_every_entry_is_on_the_audit_topic_as_it_is_in_the_log(store: Store, kafka: str, prefix: str) -> None:
    own = await create_topics(kafka, prefix)
    play(store, range(50))
    async with running(new_relay(store, kafka, prefix)) as relay:
        await caught_up(relay)
        play(store, range(50, 60))
        relay.wake()
        await caught_up(relay)
        assert relay.lag == 0
    kept, dropped = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert kept == log_of(store)
    assert dropped == 0


async def test_every_ending_has_one_outcome_record(store: Store, kafka: str, prefix: str) -> None:
    own = await create_topics(kafka, prefix)
    play(store, range(5))
    play(store, range(5, 8), {"c": fails()})
    play(store, range(8, 10), {"c": fails(), "a.undo": fails()})
    async with running(new_relay(store, kafka, prefix)) as relay:
        await caught_up(relay)
    records = await asyncio.to_thread(published, kafka, own.outcomes, 10)
    outcomes = {key: OUTCOMES.of_avro(value or b"") for key, value, _ in records}
    assert len(records) == len(outcomes) == 10
    statuses = [outcome.status for outcome in outcomes.values()]
    assert {status: statuses.count(status) for status in statuses} == {"completed": 5, "compensated": 3, "parked": 2}


async def test_dead_letters_are_published_once_and_in_order(store: Store, kafka: str, prefix: str) -> None:
    own = await create_topics(kafka, prefix, partitions=1)
    store.append(Batch(dead_letters=tuple(dead_letter(offset) for offset in range(45))))
    async with running(new_relay(store, kafka, prefix)) as relay:
        await caught_up(relay)
    async with running(new_relay(store, kafka, prefix)) as relay:
        store.append(Batch(dead_letters=(dead_letter(45),)))
        await caught_up(relay)
    records = await asyncio.to_thread(published, kafka, own.dead_letters, 46)
    assert [value for _, value, _ in records] == [b"%d" % offset for offset in range(46)]


async def test_a_relay_goes_on_where_the_last_one_stopped(store: Store, kafka: str, prefix: str) -> None:
    own = await create_topics(kafka, prefix)
    for start in (0, 10, 20):
        play(store, range(start, start + 10))
        async with running(new_relay(store, kafka, prefix)) as relay:
            await caught_up(relay)
    kept, dropped = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert (kept, dropped) == (log_of(store), 0)


async def test_missing_topics_are_named_before_anything_is_published(store: Store, kafka: str, prefix: str) -> None:
    own = own_of(prefix)
    create_topic(kafka, own.audit)
    with pytest.raises(UsageError, match=f"{own.outcomes}, {own.dead_letters} do not exist"):
        await new_relay(store, kafka, prefix).run()


async def test_a_refused_login_ends_the_relay_and_leaves_no_lease(
    store: Store, secured_kafka: SecuredKafkaServer, prefix: str
) -> None:
    play(store, range(1))
    login = KafkaSettings(
        bootstrap=secured_kafka.address,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        user=secured_kafka.user_name,
        password="wrong",
        ca_file=secured_kafka.ca_file,
    )
    relay = new_relay(store, secured_kafka.address, prefix)
    relay.sink = KafkaSink(login)
    with pytest.raises(UsageError, match="refused user") as refused:
        await relay.run()
    assert refused.value.code == "AM4102"
    assert store.claim("relay", "another", lease_ms=LEASE_MS, limit=1)


@pytest.mark.timeout(120)
async def test_a_relay_killed_at_random_moments_leaves_no_gap(tmp_path: Path, kafka: str, prefix: str) -> None:
    own = await create_topics(kafka, prefix)
    url = f"sqlite:///{tmp_path}/amends.db"
    store = store_at(url, tmp_path)
    play(store, range(600))
    count, log = entries(store), log_of(store)
    store.close()
    chooser = random.Random(prefix)
    for _ in range(8):
        relay = await _process(url, tmp_path, kafka, prefix)
        await asyncio.sleep(chooser.uniform(0.02, 0.35))
        relay.kill()
        await relay.wait()
    store = store_at(url, tmp_path)
    async with running(new_relay(store, kafka, prefix)) as last:
        await caught_up(last)
    store.close()
    records = await asyncio.to_thread(published, kafka, own.audit, count)
    kept, _ = newest_only(records)
    assert kept == log


@pytest.mark.timeout(120)
async def test_a_broker_killed_in_mid_stream_leaves_no_gap(store: Store, own_kafka: KafkaServer, prefix: str) -> None:
    own = await create_topics(own_kafka.address, prefix)
    play(store, range(300))
    async with running(new_relay(store, own_kafka.address, prefix)) as relay:
        await eventually(lambda: relay.published > 0, what="something is published")
        await asyncio.to_thread(own_kafka.kill)
        play(store, range(300, 400))
        await asyncio.to_thread(own_kafka.start)
        await caught_up(relay)
    outcomes = await asyncio.to_thread(published, own_kafka.address, own.outcomes, 400)
    assert len({OUTCOMES.of_avro(value or b"").outcome_id for _, value, _ in outcomes}) == 400
    kept, _ = newest_only(await asyncio.to_thread(published, own_kafka.address, own.audit, entries(store)))
    assert kept == log_of(store)


@pytest.mark.timeout(120)
async def test_a_relay_that_starts_without_a_broker_waits_for_it(
    store: Store, own_kafka: KafkaServer, prefix: str
) -> None:
    own = await create_topics(own_kafka.address, prefix)
    play(store, range(5))
    own_kafka.stop()
    async with running(new_relay(store, own_kafka.address, prefix)) as relay:
        await asyncio.sleep(1)
        assert not await relay.caught_up()
        await asyncio.to_thread(own_kafka.start)
        await caught_up(relay)
    kept, _ = newest_only(await asyncio.to_thread(published, own_kafka.address, own.audit, entries(store)))
    assert kept == log_of(store)


@pytest.mark.timeout(120)
async def test_a_store_that_goes_and_comes_is_waited_for(
    tmp_path: Path, own_postgres: PostgresServer, kafka: str, prefix: str
) -> None:
    own = await create_topics(kafka, prefix)
    store = store_at(own_postgres.url, tmp_path, shards=4)
    play(store, range(20))
    async with running(new_relay(store, kafka, prefix)) as relay:
        await caught_up(relay)
        await asyncio.to_thread(own_postgres.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(own_postgres.start)
        await asyncio.to_thread(play, store, range(20, 40))
        await caught_up(relay)
    kept, _ = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert kept == log_of(store)
    store.close()


@pytest.mark.timeout(120)
async def test_relays_share_the_shards_and_take_over_from_one_that_dies(
    tmp_path: Path, postgres: str, kafka: str, prefix: str
) -> None:
    own = await create_topics(kafka, prefix)
    store = store_at(postgres, tmp_path, shards=4)
    play(store, range(40))
    first = new_relay(store, kafka, prefix, name="first")
    async with running(first):
        await eventually(lambda: len(first.leases.held) == 4, what="the first takes all")
        other = await _process(postgres, tmp_path, kafka, prefix)
        await eventually(lambda: len(first.leases.held) == 2, what="the first gives up half")
        await asyncio.to_thread(play, store, range(40, 80))
        await caught_up(first)
        other.send_signal(signal.SIGKILL)
        await other.wait()
        await asyncio.to_thread(play, store, range(80, 120))
        await eventually(lambda: len(first.leases.held) == 4, what="the first takes over")
        await caught_up(first)
    kept, _ = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert kept == log_of(store)
    store.close()


async def test_a_relay_that_lost_its_lease_cannot_move_the_position(store: Store, kafka: str, prefix: str) -> None:
    own = await create_topics(kafka, prefix)
    play(store, range(10))
    relay = new_relay(store, kafka, prefix, name="frozen", lease_ms=60_000)
    async with running(relay):
        await caught_up(relay)
        before = store.relay_position(0)
        store.release("relay", "frozen", [0], clean=True)
        store.claim("relay", "newer", lease_ms=60_000, limit=1)
        await asyncio.to_thread(play, store, range(10, 20))
        await eventually(lambda: not relay.leases.held, what="it notices that it is fenced out")
        assert store.relay_position(0) == before
    store.release("relay", "newer", [0], clean=True)
    async with running(new_relay(store, kafka, prefix)) as successor:
        await caught_up(successor)
    kept, _ = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert kept == log_of(store)


async def test_an_outcome_too_large_for_its_topic_goes_out_without_its_result(
    store: Store, kafka: str, prefix: str
) -> None:
    own = await create_topics(kafka, prefix, limits={"outcomes": 4_000})
    large = ok(Done(key=random.Random(1).randbytes(10_000).hex()))
    play(store, range(2))
    play(store, range(2, 3), {"c": large})
    play(store, range(3, 5))
    async with running(new_relay(store, kafka, prefix)) as relay:
        await caught_up(relay)
    records = await asyncio.to_thread(published, kafka, own.outcomes, 5)
    results = {key: bytes(OUTCOMES.of_avro(value or b"").result) for key, value, _ in records}
    assert sorted(result == b"null" for result in results.values()) == [False, False, False, False, True]


async def test_an_entry_too_large_for_its_topic_is_waited_with_until_the_limit_is_raised(
    store: Store, kafka: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = await create_topics(kafka, prefix, limits={"audit": 600})
    play(store, range(10))
    async with running(new_relay(store, kafka, prefix)) as relay:
        await eventually(lambda: "relay_waits" in caplog.text, what="the relay says that it waits")
        assert not await relay.caught_up()
        limit_records(kafka, own.audit, 1_000_000)
        await caught_up(relay)
    held = [record.__dict__ for record in caplog.records if record.message == "relay_waits"]
    held = [record for record in held if "position" in record]  # The others tell of a bus that is away for a moment.
    assert held
    assert len({record["position"] for record in held}) == len(held), (
        "a place is told of once, however often it is tried"
    )
    assert all(f"topic '{own.audit}' refuses a record of " in record["why"] for record in held)
    kept, _ = newest_only(await asyncio.to_thread(published, kafka, own.audit, entries(store)))
    assert kept == log_of(store)


async def _process(url: str, folder: Path, address: str, prefix: str) -> Process:
    module = "tests.integration.kafka.relay_process"
    command = [sys.executable, "-m", module, url, str(folder), address, prefix, "other"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=CHECKOUT)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"started\n"
    return process


def dead_letter(offset: int) -> DeadLetterRow:
    return DeadLetterRow(
        topic="orders",
        partition=0,
        offset=offset,
        key=None,
        value=b"%d" % offset,
        headers=(),
        idempotency_key=None,
        saga=None,
        reason="undecodable",
        detail="not JSON",
        path=None,
        saga_id=None,
        size_bytes=2,
        at=1_795_262_527_110_000,
    )
