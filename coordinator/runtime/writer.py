"""The writer: appends batches on a thread of its own and waits out a store that is away."""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from tenacity import RetryCallState, wait_exponential_jitter

from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import Batch
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.batching import OpenBatch
from amends.coordinator.runtime.inbound import AppendFailed, Committed, Inbound

log = logging.getLogger("amends.writer")

QUICK_S = 0.004
"""An append that waits no longer is done where it is asked for: to decide meanwhile would win less than it costs."""
_REMEMBERED = 8
"""Over about so many appends their waiting is averaged."""

_backoff = wait_exponential_jitter(multiplier=0.05, max=5.0, jitter=0.05)


class WriterThread:
    """One batch at a time, in order. A failure other than an absent store is answered, not retried.

    `committed` is called after each commit, on the thread that made it.
    """

    def __init__(
        self, store: Store, answer: Callable[[Inbound], None], committed: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._answer = answer
        self._committed = committed
        self._queue: SimpleQueue[tuple[OpenBatch, Batch] | None] = SimpleQueue()
        self._closing = threading.Event()
        self.away = False
        """Whether the store is being waited for."""
        self._waits_s = 0.0
        self._thread = threading.Thread(target=self._run, name="amends-writer", daemon=True)
        self._thread.start()

    def write(self, batch: OpenBatch, rows: Batch, *, at_once: bool) -> Inbound | None:
        """Append this next. The answer comes to the engine's queue, or back if `at_once` or the store is quick."""
        if at_once or self._waits_s < QUICK_S:
            try:
                return self._tried(batch, rows)
            except StoreUnavailable:
                log.debug("not_at_once")
        self._queue.put((batch, rows))
        return None

    def close(self, *, timeout_s: float) -> None:
        """Write what was handed over, then end; gives up after the timeout."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (order := self._queue.get()) is not None:
            batch, rows = order
            self._answer(self._append(batch, rows))

    def _append(self, batch: OpenBatch, rows: Batch) -> Inbound:
        call = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        while True:
            try:
                answer = self._tried(batch, rows)
            except StoreUnavailable as error:
                if self._closing.is_set():
                    return AppendFailed(batch=batch, error=error)
                self._wait(call, error)
            else:
                if self.away:
                    log.info("store_is_back", extra={"attempts": call.attempt_number})
                self.away = False
                return answer

    def _tried(self, batch: OpenBatch, rows: Batch) -> Inbound:
        began_s = time.monotonic() - time.thread_time()
        try:
            self._store.append(rows)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  fenced, raced, or a fault of ours: the engine decides which
            return AppendFailed(batch=batch, error=error)
        self._waits_s += (time.monotonic() - time.thread_time() - began_s - self._waits_s) / _REMEMBERED
        self._committed()
        return Committed(batch=batch)

    def _wait(self, call: RetryCallState, error: StoreUnavailable) -> None:
        self.away = True
        pause_s = float(_backoff(call))
        log.warning("store_unavailable", extra={"why": error.why, "again_in_s": round(pause_s, 2)})
        call.attempt_number += 1
        self._closing.wait(pause_s)
