"""Trigger topics of a Kafka cluster, read as one member of the installation's consumer group.

Heartbeats, fetches and rebalances are tasks on the loop that calls `poll`: the runtime gives it the loop of I/O, never
the engine's, so that a busy engine cannot lose the membership.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from amends.connectors.kafka import faults
from amends.connectors.kafka.client import TROUBLE, explained, topics_of_cluster
from amends.connectors.kafka.membership import Group, Membership
from amends.connectors.kafka.settings import KafkaSettings
from amends.connectors.kafka.waiting import Backoff
from amends.connectors.notice import Notice, log_notice
from amends.coordinator.errors import AmendsError, BusUnavailable
from amends.schemas.record import Record

SILENT_S = 4.0
"""Without an answer to any fetch for so long, the cluster is asked whether it is there."""

ANSWERS_WITHIN_S = 1.0
"""A fetch that finds nothing is answered after half a second."""

DEAF_S = 60.0
"""The cluster is there, but our fetches have had no answer for so long: begin anew."""

PAUSE_AFTER_S = 1.0
"""Backpressure shorter than this needs no pause: the fetched records just wait."""


class KafkaSource:
    """Implements `Source`. After `BusUnavailable` it reconnects by itself, every 0.1 to 5 s: just poll again.

    `poll(records_max=0)` is backpressure: nothing is handed out, the partitions are paused if it lasts, and the
    membership is kept. `notice` is told `partitions_assigned`, `partitions_revoked`, `bus_away`, `bus_back`.
    """

    def __init__(self, settings: KafkaSettings, *, group: Group, notice: Notice = log_notice) -> None:
        self._settings = settings
        self._group = group
        self._notice = notice
        self._topics: tuple[str, ...] = ()
        self._member: Membership | None = None
        self._joining: asyncio.Task[Membership] | None = None
        self._taking: asyncio.Task[list[Record]] | None = None
        self._asking: asyncio.Task[dict[str, int]] | None = None
        self._taken: list[Record] = []
        self._backoff = Backoff()
        self._full_since: float | None = None
        self._heard_at = 0.0
        self._answered_at = 0.0
        self._away: AmendsError | None = None

    async def start(self, topics: Sequence[str]) -> None:
        """Join the group. Raises `UsageError` (missing topic, refused login) or `BusUnavailable`, within 5 s."""
        self._topics = tuple(topics)
        if not self._topics:
            return
        try:
            self._joined(await self._join())
        except BusUnavailable as error:
            self._lost(error)
            raise

    async def poll(self, *, records_max: int, timeout_s: float) -> list[Record]:
        if not self._topics:
            await asyncio.sleep(timeout_s)
            return []
        if self._member is None:
            await self._rejoin(timeout_s)
            return []
        if records_max == 0:
            await self._hold_back(self._member, timeout_s)
            return []
        if self._full_since is not None:
            self._full_since = None
            self._member.resume()
        if not self._taken:
            await self._take(self._member, records_max, timeout_s)
        records, self._taken = self._taken[:records_max], self._taken[records_max:]
        await self._listen(records)
        return records

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        if self._member is None:
            return  # The records come again after the reconnection, and are recognized.
        try:
            await self._member.commit(next_offsets)
        except TROUBLE as error:
            raise _waited_for(await explained(self._settings, error)) from error

    async def at_end(self) -> bool:
        if not self._topics:
            return True
        if self._member is None or self._holds_records():
            return False
        try:
            at_end = await self._member.at_end()
        except TROUBLE as error:
            raise await explained(self._settings, error) from error
        return at_end and not self._holds_records()

    async def stop(self) -> None:
        """Leave the group, within 3 s or so."""
        self._topics = ()
        await self._leave()

    async def _join(self) -> Membership:
        return await Membership.join(self._settings, self._group, self._topics, self._notice)

    def _joined(self, member: Membership) -> None:
        self._member = member
        self._heard_at = self._answered_at = time.monotonic()

    async def _rejoin(self, timeout_s: float) -> None:
        """Try again when it is time, without keeping the caller longer than it likes."""
        away = self._away or faults.unreachable(self._settings, "not connected")
        if self._joining is None:
            if not await self._backoff.is_due(within_s=timeout_s):
                raise _waited_for(away)
            self._joining = asyncio.create_task(self._join())
        done, _ = await asyncio.wait({self._joining}, timeout=timeout_s)
        if not done:
            raise _waited_for(away)
        joining, self._joining = self._joining, None
        try:
            self._joined(joining.result())
        except AmendsError as error:
            self._lost(error)
            raise _waited_for(error) from error

    async def _take(self, member: Membership, records_max: int, timeout_s: float) -> None:
        """Wait for a fetch that is never cancelled: a rebalance may prolong it, and what it took must not be lost."""
        until = time.monotonic() + timeout_s
        if self._taking is not None:  # Left over from a poll that may have been a shorter one.
            await self._wait_for(self._taking, until)
        if self._taking is None and not self._taken:
            left_s = max(0.0, until - time.monotonic())
            self._taking = asyncio.create_task(member.take(records_max=records_max, timeout_s=left_s))
            await self._wait_for(self._taking, until)

    async def _wait_for(self, taking: asyncio.Task[list[Record]], until: float) -> None:
        done, _ = await asyncio.wait({taking}, timeout=max(0.0, until - time.monotonic()))
        if done:
            await self._collect(taking)

    async def _collect(self, taking: asyncio.Task[list[Record]]) -> None:
        self._taking = None
        try:
            self._taken += taking.result()
        except TROUBLE as error:
            problem = await explained(self._settings, error)
            self._lost(problem)
            await self._leave()
            raise _waited_for(problem) from error

    def _holds_records(self) -> bool:
        return bool(self._taken) or (self._taking is not None and self._taking.done())

    async def _hold_back(self, member: Membership, timeout_s: float) -> None:
        """The caller has no room. If that lasts: pause what is assigned, stay a member, collect what was on its way."""
        self._heard_at = self._answered_at = now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since > PAUSE_AFTER_S:
            member.pause()
            if self._taking is None:  # aiokafka leaves the group if nobody asks for records for five minutes
                self._taking = asyncio.create_task(member.take(records_max=1, timeout_s=0))
            elif self._taking.done():
                await self._collect(self._taking)
        await asyncio.sleep(timeout_s)

    async def _listen(self, records: list[Record]) -> None:
        """Notice that the cluster is silent: aiokafka itself tries for ever and says nothing."""
        now = time.monotonic()
        if records or (self._member is not None and self._member.answered_since(now - ANSWERS_WITHIN_S)):
            self._heard_at = self._answered_at = now
            self._backoff.reset()
            if self._away is not None:
                self._away = None
                self._notice("bus_back", {"bus": self._settings.bootstrap})
        elif now - self._heard_at > SILENT_S:
            await self._ask(now)

    async def _ask(self, now: float) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(topics_of_cluster(self._settings))
        if self._asking.done():
            asking, self._asking = self._asking, None
            try:
                asking.result()
            except AmendsError as error:
                self._lost(error)
            else:
                self._heard_at = now
                if now - self._answered_at > DEAF_S:
                    self._lost(faults.silent(self._settings, now - self._answered_at))
                    await self._leave()
        if self._away is not None:
            raise _waited_for(self._away)

    def _lost(self, error: AmendsError) -> None:
        if self._away is None:
            self._notice("bus_away", {"bus": self._settings.bootstrap, "why": str(error)})
        self._away = error

    async def _leave(self) -> None:
        self._taken = []
        self._full_since = None
        tasks = [task for task in (self._joining, self._taking, self._asking) if task is not None]
        self._joining = self._taking = self._asking = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        member, self._member = self._member, None
        if member is not None:
            await member.leave()


def _waited_for(error: AmendsError) -> BusUnavailable:
    """While running even a refused login is waited for: somebody may be changing the password just now."""
    return BusUnavailable(error.code, error.what, do=error.do)
