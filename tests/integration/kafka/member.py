"""A member of a group in a process of its own: prints what it is assigned and reads, one JSON object a line."""

import asyncio
import json
import sys
from collections.abc import Mapping

from amends.connectors.kafka.membership import Group
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.source import KafkaSource


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def notice(event: str, fields: Mapping[str, object]) -> None:
    say(**{event.removeprefix("partitions_"): fields.get("partitions", [])})


async def main(address: str, prefix: str, topic: str) -> None:
    group = Group(name=f"{prefix}group", session_timeout_ms=1_500, heartbeat_ms=200)
    source = KafkaSource(KafkaSettings(bootstrap=address), group=group, notice=notice)
    await source.start([topic])
    say(started=[topic])
    while True:
        records = await source.poll(records_max=20, timeout_s=0.2)
        if records:
            say(values=[(each.value or b"").decode() for each in records])
            await source.commit({(each.topic, each.partition): each.offset + 1 for each in records})


asyncio.run(main(*sys.argv[1:]))
