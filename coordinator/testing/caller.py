"""Where a rehearsal calls what users wrote: a thread of its own with an event loop, and a limit of real time."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from amends.coordinator.errors import UsageError
from amends.coordinator.loop_resources import close_all

CALL_S_MAX: Final = 30.0
"""Of real time. A rehearsal's clock jumps, so nothing in it has a reason to wait."""

Result = TypeVar("Result")


class Caller:
    """Everything of the user's runs on one thread, so that what `begin` opens may be used by handlers.

    Each scenario has a loop of its own, so that no connection outlives its world.
    """

    def __init__(self, *, call_s_max: float = CALL_S_MAX) -> None:
        self._call_s_max = call_s_max
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._runner: asyncio.Runner | None = None
        self._lost = False
        """Whether something has not returned: nothing else is called after it."""
        self._thread = threading.Thread(target=self._work, name="amends-rehearsal", daemon=True)
        self._thread.start()

    def call(self, what: str, function: Callable[[], Result]) -> Result:
        """Call it there; what it raises is raised here. Raises `UsageError` (AM5106) where it does not return."""
        box: list[Result] = []
        failed: list[BaseException] = []
        done = threading.Event()

        def job() -> None:
            try:
                box.append(function())
            except BaseException as error:  # noqa: BLE001  raised where it was asked for
                failed.append(error)
            finally:
                done.set()

        context = copy_context()
        self._queue.put(lambda: context.run(job))
        if not done.wait(self._call_s_max):
            self._lost = True
            raise UsageError(
                "AM5106",
                f"{what} did not return within {self._call_s_max:g} s",
                do="let nothing in it wait for real: the clock of a rehearsal jumps",
            )
        if failed:
            raise failed[0]
        return box[0]

    def awaited(self, awaitable: Coroutine[Any, Any, Result]) -> Result:
        """Called on the thread: run it on the scenario's loop, in the caller's context."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(awaitable, context=copy_context())

    def end_scenario(self) -> None:
        """Close what connectors hold open, unless something that has not returned may still use it."""
        if self._lost:
            return

        def close() -> None:
            if self._runner is not None:
                runner, self._runner = self._runner, None
                runner.run(close_all())
                runner.close()

        self.call("closing the connections of a scenario", close)

    def close(self) -> None:
        """End the thread; one that a handler keeps ends with the process."""
        self._queue.put(None)
        self._thread.join(1.0)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            job()
