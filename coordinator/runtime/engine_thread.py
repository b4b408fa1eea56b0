"""The engine's turns: one queue in, a bell to wake the thread that takes most of them, and the clock."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from amends.coordinator.errors import AmendsError
from amends.coordinator.runtime.engine import Engine
from amends.coordinator.runtime.inbound import Inbound, Wake
from amends.schemas.instants import MILLISECOND, SECOND, Instant

TAKE_MAX = 2_000
LOOK_US = 500 * MILLISECOND
"""The engine looks round this often even when nothing arrives."""
FOREVER: Instant = 2**63 - 1

GIVE_WAY_S = 0.002
"""So long it lets handlers begin that were handed over, and so many replies join the batch that is due."""

log = logging.getLogger("amends.engine")


class EngineThread:
    """Runs an engine until it is closed; `failed` is called once if the engine itself breaks."""

    def __init__(self, clock: Callable[[], Instant], failed: Callable[[BaseException], None]) -> None:
        self._clock = clock
        self._failed = failed
        self._arrived: deque[Inbound] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amends-engine", daemon=True)
        self._turning = threading.Lock()
        self._short = False
        self._due: Instant = 0
        self._engine: Engine | None = None
        self._idle = False
        self._quiet = False
        self.backlog = 0

    @property
    def idle(self) -> bool:
        """Whether the engine has nothing to do and has taken everything it was offered. From any thread."""
        return not self._arrived and self._idle  # In this order: what is taken makes it busy before it is taken.

    @property
    def quiet(self) -> bool:
        """The same of `Engine.quiet`."""
        return not self._arrived and self._quiet

    def put(self, inbound: Inbound) -> None:
        """Offer something to the engine, from any thread."""
        self.leave(inbound)
        self.ring()

    def leave(self, inbound: Inbound) -> None:
        """Offer something without waking the engine: whoever leaves several rings once. It looks by itself, late."""
        self._arrived.append(inbound)

    def ring(self) -> None:
        """Wake the engine. It counts as rung until the engine begins to take: a second ring costs next to nothing."""
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def attend(self) -> None:
        """As `ring`, from a thread that has nothing else to do: it takes the engine's turn itself if that is short.

        Where little is in flight, to wake each other takes two threads about as long as a turn.
        """
        if not (self._short and self._turning.acquire(blocking=False)):
            self.ring()
            return
        try:
            soon = self._turn() < self._clock() + LOOK_US
        finally:
            self._turning.release()
        if soon or self._arrived:
            self.ring()  # Until it looks by itself the thread waits for what was due before.

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
        if self._turning.acquire(timeout=timeout_s):  # A turn that another thread took is over, and none begins.
            self._turning.release()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wait()
            with self._turning:
                self._turn()

    def _turn(self) -> Instant:
        """Take what has arrived and work it off; when to look again. By one thread at a time."""
        engine = self._engine
        assert engine is not None, "begin gives it"
        if self._closing.is_set():
            return FOREVER
        self._rung = False  # Before taking: what is left from here on rings anew.
        self._idle = self._quiet = False
        arrived = [self._arrived.popleft() for _ in range(min(len(self._arrived), TAKE_MAX))]
        try:
            engine.work_off(arrived, self._clock())
            engine.dispatch.look_after()
        except AmendsError as error:
            log.error("engine_failed", extra={"why": error.why})  # noqa: TRY400  it says all that there is to say
            self._fail(error)
        except BaseException as error:
            log.exception("engine_failed")
            self._fail(error)
        else:
            self._idle, self._quiet, self.backlog = engine.idle, engine.quiet, engine.backlog
            self._short, self._due = engine.short, engine.next_due() or FOREVER
        return self._due

    def _fail(self, error: BaseException) -> None:
        self._closing.set()
        self._failed(error)

    def _wait(self) -> None:
        wait_s = min(LOOK_US, max(0, self._due - self._clock())) / SECOND
        with suppress(Empty):
            self._bell.get(block=wait_s > 0 and not self._arrived, timeout=wait_s)
        self._give_way()

    def _give_way(self) -> None:
        """Let the handlers' thread catch up: the two run in turns anyway, and a batch twice as large costs little more.

        Nobody waits for a handler that waits: only for those that have not been called.
        """
        assert self._engine is not None, "begin gives it"
        until = time.monotonic() + GIVE_WAY_S
        while self._engine.dispatch.behind and (left_s := until - time.monotonic()) > 0:
            self._rung = False
            with suppress(Empty):
                self._bell.get(timeout=left_s)
