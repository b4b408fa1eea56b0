"""Two members of one group: what one loses the other reads, and nothing is lost between them."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.source import PAUSE_AFTER_S, KafkaSource
from tests.integration.kafka.clients import create_topic, polled, produce, settings_of

MEMBER = Path(__file__).with_name("member.py")


def group(prefix: str) -> Group:
    return Group(name=f"{prefix}group", session_timeout_ms=1_500, heartbeat_ms=200)


async def test_a_killed_member_s_partitions_go_to_the_other_and_every_record_is_read(kafka: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic, partitions=4)
    victim, survivor = [await _member(kafka, prefix, topic) for _ in range(2)]
    try:
        await _shares(victim, 2)
        produce(kafka, topic, [b"%08d" % n for n in range(400)])
        read_by_victim = await _values(victim, 50)
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        produce(kafka, topic, [b"%08d" % n for n in range(400, 800)])
        found: set[str] = {*read_by_victim, *await _left_by(victim)}
        deadline = time.monotonic() + 30
        while len(found) < 800 and time.monotonic() < deadline:
            found |= set(await _values(survivor, 1))
    finally:
        for member in (victim, survivor):
            if member.returncode is None:
                member.kill()
                await member.wait()
    assert found == {f"{n:08d}" for n in range(800)}


async def test_what_was_read_and_not_handed_out_outlasts_backpressure(kafka: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic, partitions=1)
    produce(kafka, topic, [b"%d" % n for n in range(5)])
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    await source.start([topic])
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):  # What is read for this poll comes to the next one, which has less room.
                await source.poll(records_max=5, timeout_s=20)
        found = await source.poll(records_max=1, timeout_s=20)
        assert len(found) == 1
        assert not await source.at_end()
        held_back = time.monotonic() + PAUSE_AFTER_S + 1
        while time.monotonic() < held_back:
            assert await source.poll(records_max=0, timeout_s=0.1) == []
        found += await polled(source, 4)
    finally:
        await source.stop()
    assert [record.offset for record in found] == [0, 1, 2, 3, 4]


async def test_a_commit_after_a_rebalance_took_the_partition_is_ignored(kafka: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic, partitions=2)
    produce(kafka, topic, [b"%08d" % n for n in range(100)])
    first = KafkaSource(settings_of(kafka), group=group(prefix))
    second = KafkaSource(settings_of(kafka), group=group(prefix))
    await first.start([topic])
    try:
        records = await polled(first, 100)
        ends = {(topic, each.partition): each.offset + 1 for each in records}
        assert len(ends) == 2
        await second.start([topic])
        taken: set[int] = set()
        deadline = time.monotonic() + 20
        while not taken and time.monotonic() < deadline:
            await first.commit(ends)  # one of the two may be the other's by now
            taken = {each.partition for each in await second.poll(records_max=100, timeout_s=0.1)}
            await first.poll(records_max=100, timeout_s=0.1)
            produce(kafka, topic, [os.urandom(8)])
        assert taken
        await first.commit(ends)
    finally:
        await first.stop()
        await second.stop()


async def test_a_loop_blocked_for_longer_than_the_session_comes_back_by_itself(kafka: str, prefix: str) -> None:
    topic = f"{prefix}orders"
    create_topic(kafka, topic)
    produce(kafka, topic, [b"one"])
    source = KafkaSource(settings_of(kafka), group=group(prefix))
    await source.start([topic])
    try:
        await polled(source, 1)
        time.sleep(2.5)  # noqa: ASYNC251  this is the fault
        await source.commit({(topic, 0): 1})
        produce(kafka, topic, [b"two"])
        assert b"two" in [each.value for each in await polled(source, 1)]
    finally:
        await source.stop()


async def _member(address: str, prefix: str, topic: str) -> Process:
    member = await asyncio.create_subprocess_exec(sys.executable, str(MEMBER), address, prefix, topic, stdout=PIPE)
    await _line(member)
    return member


async def _shares(member: Process, partitions: int) -> None:
    """Wait until the member has exactly so many partitions."""
    while len((await _line(member)).get("assigned", [])) != partitions:
        continue


async def _values(member: Process, count: int) -> list[str]:
    values: list[str] = []
    while len(values) < count:
        values += (await _line(member)).get("values", [])
    return values


async def _left_by(member: Process) -> list[str]:
    """What a killed member had said, and so may have committed, and nobody had heard."""
    assert member.stdout is not None
    said = (await member.stdout.read()).splitlines(keepends=True)
    return [value for line in said if line.endswith(b"\n") for value in json.loads(line).get("values", [])]


async def _line(member: Process) -> dict[str, list[str]]:
    assert member.stdout is not None
    async with asyncio.timeout(20):
        line = await member.stdout.readline()
    assert line, "the member ended"
    found: dict[str, list[str]] = json.loads(line)
    return found
