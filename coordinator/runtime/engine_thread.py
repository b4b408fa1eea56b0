"""The engine's thread: one queue in, and the clock."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from amends.coordinator.runtime.engine import Engine
from amends.coordinator.runtime.inbound import Inbound, Wake
from amends.schemas.instants import SECOND, Instant

TAKE_MAX = 2_000
LOOK_S = 0.5
"""The engine looks round this often even when nothing arrives."""

log = logging.getLogger("amends.engine")


class EngineThread:
    """Runs an engine until it is closed; `failed` is called once if the engine itself breaks."""

    def __init__(self, clock: Callable[[], Instant], failed: Callable[[BaseException], None]) -> None:
        self._clock = clock
        self._failed = failed
        self._queue: SimpleQueue[Inbound] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amends-engine", daemon=True)
        self._engine: Engine | None = None
        self.idle = False
        self.quiet = False
        self.backlog = 0
        self.taken = 0
        self.offered = 0

    def put(self, inbound: Inbound) -> None:
        """Offer something to the engine, from any thread."""
        self.offered += 1
        self._queue.put(inbound)

    def begin(self, engine: Engine) -> None:
        """Start turning."""
        self._engine = engine
        self._thread.start()

    def close(self, *, timeout_s: float) -> None:
        """Stop turning; what was not taken is offered again by its source."""
        self._closing.set()
        self.put(Wake())
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        engine = self._engine
        assert engine is not None, "begin gives it"
        try:
            while not self._closing.is_set():
                arrived = self._wait(engine)
                engine.work_off(arrived, self._clock())
                engine.dispatch.look_after()
                self.taken += len(arrived)
                self.idle, self.quiet, self.backlog = engine.idle, engine.quiet, engine.backlog
        except BaseException as error:
            log.exception("engine_failed")
            self._failed(error)

    def _wait(self, engine: Engine) -> list[Inbound]:
        due = engine.next_due()
        wait_s = LOOK_S if due is None else min(LOOK_S, max(0.0, (due - self._clock()) / SECOND))
        arrived: list[Inbound] = []
        try:
            arrived.append(self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait())
            while len(arrived) < TAKE_MAX:
                arrived.append(self._queue.get_nowait())
        except Empty:
            pass
        return arrived
