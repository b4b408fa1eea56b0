"""A relay in a process of its own, to be killed."""

import asyncio
import sys
from pathlib import Path

from tests.integration.kafka.relaying import new_relay, store_at


async def main(url: str, folder: str, address: str, prefix: str, name: str) -> None:
    relay = new_relay(store_at(url, Path(folder)), address, prefix, name=name)
    print("started", flush=True)
    await relay.run()


asyncio.run(main(*sys.argv[1:]))
