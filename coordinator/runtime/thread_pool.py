"""Threads for plain `def` handlers: a bounded pool per dependency, so that one slow participant takes no other's place.

The threads are daemons: a handler that never returns must not keep a stopped worker alive.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from amends.coordinator.attempt import attempting
from amends.coordinator.runtime import answers
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.work import Work

THREADS_MAX = 8


class ThreadPool:
    """The pool of one dependency; grows as needed."""

    def __init__(self, deliver: Callable[[Item], None], *, name: str) -> None:
        self._deliver = deliver
        self._name = name
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._free = 0
        self._lock = threading.Lock()

    def submit(self, work: Work) -> None:
        """Hand a work over, from any thread."""
        with self._lock:
            if self._free <= self._queue.qsize() and len(self._threads) < THREADS_MAX:
                name = f"{self._name}-{len(self._threads)}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                self._free += 1
                thread.start()
        self._queue.put(work)

    def close(self) -> None:
        """Let free threads end."""
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            with self._lock:
                self._free -= 1
            self._deliver(self._performed(work))
            with self._lock:
                self._free += 1

    def _performed(self, work: Work) -> Item:
        if work.stopping is not None:
            return answers.withdrawn(work)
        work.begun = True
        try:
            with attempting(work.attempt):
                result = work.handler.function(**work.arguments())
        except BaseException as error:  # noqa: BLE001  whatever a handler raises is its reply
            return answers.raised(work, error)
        return answers.returned(work, result)
