"""Publishing signed heads: beside the relay and never in its way; on the local bus beside the worker.

Who holds the relay's lease of a shard signs its head: every so often while the shard moves, and when it stops. What
was signed before a restart may be signed again, with the same bytes.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.errors import AmendsError, StoreUnavailable
from amends.coordinator.evidence.signing import HeadSigner, NotThere
from amends.coordinator.ports.bus import Outgoing, Sink
from amends.coordinator.reading.publishing import Publishing
from amends.coordinator.runtime.relay_leases import RelayLeases
from amends.schemas.canonical import encode
from amends.schemas.signed_head import SignedHead, headers_of, key_of
from amends.schemas.signing import PrivateKey

FIRST_S: Final = 1.0
"""After a start: what nobody signed when the former process died is signed now."""
LAST_WITHIN_S: Final = 0.5

log = logging.getLogger("amends.relay")


@dataclass(slots=True, kw_only=True)
class Checkpoints:
    """Signs what moved among the shards that are `held`. `key` is asked for at each turn: a rotated key counts at once.

    Nothing it meets ends it: what cannot be signed or published is said in the log and tried again at the next turn.
    """

    signer: HeadSigner
    key: Callable[[], PrivateKey]
    sink: Sink
    """Nobody else's: what a topic refuses here must not cost the relay its connection."""
    publishing: Publishing
    held: Callable[[], Collection[int]]
    every_s: float
    published: int = 0

    _signed: dict[int, int] = field(default_factory=dict)
    """The position of each shard that was published last, by this process."""
    _why: str = ""

    async def run(self) -> None:
        """Publish for ever. Cancel it, then `last`."""
        await asyncio.sleep(min(FIRST_S, self.every_s))
        while True:
            await self.turn()
            await asyncio.sleep(self.every_s)

    async def last(self) -> None:
        """Publish what moved since, and leave the bus, within half a second: the process is stopping."""
        try:
            async with asyncio.timeout(LAST_WITHIN_S):
                await self.turn()
                await self.sink.stop()
        except TimeoutError:
            self._say("no answer in time")

    async def turn(self) -> None:
        """Sign and publish the heads of all shards that have moved."""
        try:
            heads, missing = await asyncio.to_thread(self._due, tuple(self.held()))
            if heads:
                await self.sink.publish([self._record(head) for head in heads])
        except AmendsError as error:
            self._say(error.why)
            return
        for head in heads:
            self._signed[head.shard] = head.position
        self.published += len(heads)
        if missing:
            self._say(missing)
        elif heads and self._why:
            self._why = ""
            log.info("heads_signed_again", extra={"shards": [head.shard for head in heads]})

    def _due(self, shards: Collection[int]) -> tuple[list[SignedHead], str]:
        """What is to be published, and why a shard has nothing there. In a thread."""
        rows = list(self.signer.ahead(shards, self._signed))
        if not rows:
            return [], ""
        key, found, missing = self.key(), [], ""
        for row in rows:
            try:
                signed = self.signer.sign(row, key)
                found += [] if signed is None else [signed]
            except NotThere as error:
                missing = f"shard {row.shard}: {error}"
        return found, missing

    def _record(self, head: SignedHead) -> Outgoing:
        return Outgoing(
            topic=self.publishing.own.checkpoints,
            key=key_of(head),
            value=encode(head),
            headers=headers_of(head, namespace=self.publishing.namespace),
        )

    def _say(self, why: str) -> None:
        if why != self._why:
            self._why = why
            log.warning("heads_not_signed", extra={"why": why})


@dataclass(slots=True, kw_only=True)
class LocalCheckpoints:
    """The same where there is no relay: leases the relay's shards for nothing but this. Runs until `stop`."""

    checkpoints: Checkpoints
    leases: RelayLeases
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self.checkpoints.run())]
        try:
            stopped = asyncio.create_task(self._stopping.wait())
            await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            for task in tasks:
                if task.done():
                    task.result()  # Raises: they end only by what no waiting mends.
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.checkpoints.last()
            await self.leases.give_back()

    def stop(self) -> None:
        """Sign what moved since, and stop."""
        self._stopping.set()

    async def _keep(self) -> None:
        try:
            await asyncio.to_thread(self.leases.turn)
        except StoreUnavailable as error:
            log.warning("leases_not_renewed", extra={"why": error.why})
        await self.leases.keep()
