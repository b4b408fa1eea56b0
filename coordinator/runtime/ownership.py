"""Ownership: which shards this worker holds (design, section 2). A thread of its own, so that no handler delays it.

With SQLite one coordinator holds all shards for as long as it lives; there is nothing to renew.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from amends.coordinator.errors import AmendsError, StoreUnavailable
from amends.coordinator.ports.store import EMBEDDED, Store
from amends.coordinator.runtime.inbound import Gained, Inbound, Lost, Yielding
from amends.coordinator.runtime.leases import Leases
from amends.schemas.instants import SECOND, Instant

CLOCK_SKEW_MAX_US = 1 * SECOND
YIELD_WITHIN_S = 5.0
MARGIN = 0.8
"""The part of a lease after which we stop sending, to be sure that a new owner begins later."""

log = logging.getLogger("amends.ownership")


@dataclass(slots=True, kw_only=True)
class Ownership:
    """Leases of one worker. `tell` puts into the engine's queue; `busy` says whether a shard has open attempts."""

    store: Store
    worker: str
    lease_ms: int
    clock: Callable[[], Instant]
    tell: Callable[[Inbound], None]
    busy: Callable[[int], bool]
    broken: Callable[[BaseException], None]
    """Told what ended the thread, were it to end by itself."""
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _leases: Leases = field(init=False)
    _renewed_at: float = 0.0
    _fenced: set[int] = field(default_factory=set)
    _soon: threading.Event = field(default_factory=threading.Event)
    """Set when the next round is due at once."""
    _closing: bool = False
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._leases = Leases(store=self.store, role="worker", owner=self.worker, lease_ms=self.lease_ms)

    @property
    def alone(self) -> bool:
        """Whether no other worker can own anything: the store is one process's."""
        return self.store.kind in EMBEDDED

    def begin(self) -> None:
        """Take what is free, then keep it; if the store is away just now, as soon as it is back."""
        try:
            self.turn()
        except StoreUnavailable as error:
            log.warning("leases_not_renewed", extra={"why": error.why})
            self._soon.set()
        self._thread = threading.Thread(target=self._run, name="amends-leases", daemon=True)
        self._thread.start()

    def epoch_of(self, shard: int) -> int:
        """The epoch under which we hold a shard."""
        lease = self._leases.held.get(shard)
        return 0 if lease is None else lease.epoch

    def left_s(self, shard: int, epoch: int) -> float:
        """Seconds for which the shard is ours for certain, under this epoch."""
        lease = self._leases.held.get(shard)
        if lease is None or lease.epoch != epoch:
            return 0.0
        if self.alone:
            return math.inf
        return self._renewed_at + self.lease_ms / 1000 * MARGIN - self.monotonic()

    def give_up(self, shards: Collection[int]) -> None:
        """From the engine: an append was fenced. Whatever the lease says, the shard is leased anew or left."""
        self._fenced.update(shards)
        self._soon.set()

    def turn(self) -> None:
        """One round: renew, take over what is free, give back what is too much."""
        began = self.monotonic()
        self._leave_fenced()
        if abs(skew_us := self._skew_us()) > CLOCK_SKEW_MAX_US:
            log.error("clock_skew", extra={"skew_ms": skew_us // 1000})
            self._stand_aside()
            return
        fair = self._leases.fair()
        if self.alone:
            fair = len(self.store.shards())  # Whoever else has given a sign of life is dead by now.
        self._renew()
        self._balance(fair, began)

    def round(self) -> bool:
        """One turn, if the store is there; leases that ran out meanwhile are given up."""
        try:
            self.turn()
        except StoreUnavailable as error:
            log.warning("leases_not_renewed", extra={"why": error.why})
            if not self.alone and self._leases.held and self.monotonic() > self._renewed_at + self.lease_ms / 1000:
                self._leave(list(self._leases.held))
            return False
        return True

    def close(self, *, clean: bool) -> None:
        """Give everything back."""
        self._closing = True
        self._soon.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        try:
            self._leases.give_back(clean=clean)
        except StoreUnavailable as error:
            log.warning("leases_not_released", extra={"why": error.why})

    def _skew_us(self) -> int:
        """How far the store's clock is from ours, for certain: what the question takes on its way does not count."""
        before, there, after = self.clock(), self.store.now(), self.clock()
        return there - after if there > after else min(0, there - before)

    def _stand_aside(self) -> None:
        """Hold nothing, and be counted by nobody: the others share all of it (rule 15)."""
        if self._leases.held:
            self._give_back(sorted(self._leases.held))
        self.store.retire(self.worker)

    def _renew(self) -> None:
        began = self.monotonic()
        if lost := self._leases.renew():
            self._left(lost)
        self._renewed_at = began

    def _leave_fenced(self) -> None:
        """A shard that the engine was fenced out of is not ours, even where our lease still stands."""
        fenced = set()
        while self._fenced:
            fenced.add(self._fenced.pop())
        if gone := self._leave(fenced):
            self._leases.release(gone, clean=False)

    def _balance(self, fair: int, began: float) -> None:
        held = self._leases.held
        if len(held) > fair:
            self._give_back(sorted(held)[fair:])
        elif leases := self._leases.take(fair - len(held)):
            self._renewed_at = began
            log.info("shards_gained", extra={"shards": [lease.shard for lease in leases]})
            self.tell(Gained(leases=leases))

    def _give_back(self, surplus: list[int]) -> None:
        self.tell(Yielding(shards=surplus))
        until = self.monotonic() + YIELD_WITHIN_S
        while any(self.busy(shard) for shard in surplus) and self.monotonic() < until and not self._closing:
            self.sleep(0.05)
            if self.monotonic() - self._renewed_at > self.lease_ms / 3000:
                try:
                    self._renew()
                except StoreUnavailable:
                    break  # They are left all the same: nothing is begun any more in what was told to yield.
        clean = not any(self.busy(shard) for shard in surplus)
        self._leases.release(self._leave(surplus), clean=clean)

    def _leave(self, shards: Collection[int]) -> list[int]:
        """Hold them no more, whatever the store says; those of them that were held."""
        gone = self._leases.drop(shards)
        if gone:
            self._left(gone)
        return gone

    def _left(self, gone: list[int]) -> None:
        log.info("shards_left", extra={"shards": gone})
        self.tell(Lost(shards=gone))

    def _run(self) -> None:
        try:
            self._keep()
        except AmendsError as error:
            log.error("leases_failed", extra={"why": error.why})  # noqa: TRY400  it says all that there is to say
            self.broken(error)
        except BaseException as error:
            log.exception("leases_failed")
            self.broken(error)

    def _keep(self) -> None:
        again = False
        while True:
            self._soon.wait(None if self.alone and not again else self.lease_ms / 3000)
            if self._closing:
                return
            self._soon.clear()
            again = not self.round()
