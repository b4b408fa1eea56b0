"""The loop that async handlers run on, away from the engine, so that one that blocks stalls neither timers nor appends.

A few long-lived tasks take work from one queue and await handlers directly: a handler that never really waits costs
no task of its own.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Protocol

from amends.coordinator.attempt import attempting
from amends.coordinator.loop_resources import close_all
from amends.coordinator.runtime import answers
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.work import Work

BEAT_S = 0.2
BLOCKED_AFTER_S = 1.0
IDLE_TASKS_MAX = 16
RING_AFTER_S = 0.002
"""How long replies may gather, while handlers return one after the other, before the engine is told of them."""


class Replies(Protocol):
    """Where replies go."""

    def put(self, item: Item, /) -> None: ...

    def leave(self, item: Item, /) -> None:
        """As `put`, but the engine hears of it at the next `ring`."""
        ...

    def ring(self) -> None: ...

    def attend(self) -> None:
        """As `ring`, from a thread that has nothing else to do."""
        ...


class HandlerLoop:
    """One thread, one event loop."""

    def __init__(self, replies: Replies, *, name: str) -> None:
        self._replies = replies
        self._rung_at = 0.0
        self._queue: deque[Work] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._checking = False
        self._beaten_at = time.monotonic()
        self._attending = False
        self._closing = False
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, works: Iterable[Work]) -> None:
        """Hand works over, from any thread."""
        self._queue.extend(works)
        if not self._attending:  # Who attends looks at the queue afterwards.
            self.loop.call_soon_threadsafe(self._see_to_queue)

    def stop(self, work: Work) -> None:
        """Cancel a work's handler, from any thread."""
        self.loop.call_soon_threadsafe(self._cancel, work)

    @property
    def blocked(self) -> bool:
        """Whether a handler has kept the loop from turning for a while. The engine's own turn is no handler."""
        return not self._attending and time.monotonic() - self._beaten_at > BLOCKED_AFTER_S

    @property
    def behind(self) -> bool:
        """Whether works wait for it that it has not begun."""
        return bool(self._queue) and not self.blocked

    @property
    def stranded(self) -> bool:
        """Whether works wait behind a handler that blocks."""
        return bool(self._queue) and self.blocked

    def not_begun(self) -> list[Work]:
        """Take back what no handler has been called for, from any thread: for another loop, if this one is blocked."""
        taken: list[Work] = []
        while True:
            try:
                taken.append(self._queue.popleft())
            except IndexError:
                return taken

    def close(self, *, timeout_s: float) -> None:
        """Cancel what runs, close what connectors hold, end the thread; give up after the timeout."""
        self.loop.call_soon_threadsafe(self._begin_close)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._beat()
        while not self._closing:
            with suppress(SystemExit, KeyboardInterrupt):  # asyncio lets them out of a handler's own tasks.
                self.loop.run_forever()  # A handler may have stopped it.
        self.loop.run_until_complete(self._end())
        self.loop.close()

    def _beat(self) -> None:
        self._beaten_at = time.monotonic()
        self.loop.call_later(BEAT_S, self._beat)

    def _begin_close(self) -> None:
        self._closing = True
        self.loop.stop()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        await close_all()
        await self.loop.shutdown_asyncgens()

    def _check_soon(self) -> None:
        if not self._checking:
            self._checking = True
            self.loop.call_soon(self._check)

    def _check(self) -> None:
        """Called when a handler really waits: the next one is begun, and the engine told of those that are done."""
        self._checking = False
        self._replies.ring()
        self._see_to_queue()

    def _see_to_queue(self) -> None:
        """Have somebody at the queue while there is work in it."""
        if not self._queue:
            return
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        task = self.loop.create_task(self._take(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self) -> None:
        task, context = asyncio.current_task(), copy_context()
        assert task is not None, "handlers run in a task"
        while True:
            while self._queue:
                work = self._queue.popleft()
                if self._queue:
                    self._check_soon()
                await self._perform(work, task)
                if not self._queue and self._alone:
                    await self._attend()
                elif not self._queue or time.monotonic() - self._rung_at > RING_AFTER_S:
                    self._replies.ring()
                    self._rung_at = time.monotonic()
                else:
                    self._check_soon()  # The next one may wait, and the engine has not been told of this one.
                if copy_context() != context:  # What a handler leaves in its context is not for the next one to see.
                    self.loop.call_soon(self._see_to_queue)
                    return
            if len(self._idle) >= IDLE_TASKS_MAX:
                return
            waiter = self.loop.create_future()
            self._idle.append(waiter)
            await waiter
            self._rung_at = time.monotonic()  # No reply has been waiting for the engine since before.

    @property
    def _alone(self) -> bool:
        """Whether no other handler waits here: an append, which may take long, would keep it from what it waits for."""
        return len(self._tasks) - len(self._idle) == 1

    async def _attend(self) -> None:
        self._attending = True
        try:
            self._replies.attend()
        finally:
            self._beaten_at = self._rung_at = time.monotonic()
            self._attending = False
        if self._queue:  # So that the loop turns, however many handlers follow one upon the other.
            await asyncio.sleep(0)

    async def _perform(self, work: Work, task: asyncio.Task[None]) -> None:
        if work.told_to_stop():
            self._replies.leave(answers.withdrawn(work))
            return
        work.begun, work.task = True, task
        try:
            with attempting(work.attempt):
                result = await work.handler.function(**work.arguments())
        except BaseException as error:
            if task.cancelling() and not work.told_to_stop():
                raise  # The loop is being closed: the attempt stays in doubt.
            self._replies.leave(answers.raised(work, error))  # Whatever a handler raises is its reply.
        else:
            self._replies.leave(answers.returned(work, result))
        finally:
            work.task = None
            while task.cancelling() and work.told_to_stop():
                task.uncancel()  # It was meant for this handler, whether it heard of it or not.

    def _cancel(self, work: Work) -> None:
        if work.task in self._tasks:  # A task is cancelled by its own loop alone.
            work.task.cancel()
