"""Whoever calls the handlers: loops for `async def`, a bounded pool per dependency for plain `def`."""

import logging
from dataclasses import dataclass, field

from amends.coordinator.runtime.handler_loop import HandlerLoop, Replies
from amends.coordinator.runtime.thread_pool import ThreadPool
from amends.coordinator.runtime.work import Work

LOOPS_MAX = 4
"""A loop that a handler blocks is left to it and another one takes its place, this many times."""

log = logging.getLogger("amends.handlers")


@dataclass(slots=True, kw_only=True)
class HandlerThreads:
    """All threads on which users' code runs."""

    replies: Replies
    _loops: list[HandlerLoop] = field(default_factory=list)
    _pools: dict[str, ThreadPool] = field(default_factory=dict)

    def submit(self, works: list[Work]) -> None:
        """Hand works over."""
        on_loop = [work for work in works if work.handler.is_async]
        if on_loop:
            self._loop().submit(on_loop)
        for work in works:
            if not work.handler.is_async:
                self._pool(work).submit(work)

    def stop(self, work: Work) -> bool:
        """Cancel a coroutine, or withdraw what no thread has begun; a thread that runs cannot be stopped."""
        if not work.handler.is_async:
            return not work.begun
        for loop in self._loops:
            loop.stop(work)
        return True

    @property
    def behind(self) -> bool:
        """Whether a loop that turns has works that it has not begun."""
        return any(loop.behind for loop in self._loops)

    def look_after(self) -> None:
        """Give the work behind a blocking handler to another loop, as long as there is one that turns."""
        for loop in tuple(self._loops):
            if loop.stranded and not (other := self._loop()).blocked:
                works = loop.not_begun()
                log.warning("handler_blocks_its_loop", extra={"works_moved": len(works)})
                other.submit(works)

    def close(self, *, timeout_s: float) -> None:
        """End all threads that let themselves be ended."""
        for pool in self._pools.values():
            pool.close()
        for loop in self._loops:
            loop.close(timeout_s=timeout_s)

    def _loop(self) -> HandlerLoop:
        usable = next((loop for loop in self._loops if not loop.blocked), None)
        if usable is not None:
            return usable
        if len(self._loops) < LOOPS_MAX:
            self._loops.append(HandlerLoop(self.replies, name=f"amends-handlers-{len(self._loops)}"))
        return self._loops[-1]

    def _pool(self, work: Work) -> ThreadPool:
        name = work.handler.dependency_name or "none"
        if name not in self._pools:
            self._pools[name] = ThreadPool(self.replies.put, name=f"amends-pool-{name}")
        return self._pools[name]
