"""The publisher's side: keeps so many runs in flight, and knows when each began and ended."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from benchmarks.phases import Phase, keys_of

STALLED_S = 30.0


@dataclass(slots=True, kw_only=True)
class Driver:
    """A closed loop: as many new triggers as outcomes have come. `publish` commits the triggers of these keys.

    With as many in flight as there are to be, all are published at once: the topic is full, the worker takes its time.
    """

    publish: Callable[[list[str]], Awaitable[None]]
    cpu_s: Callable[[], float]
    """CPU time that the measured process has used so far."""
    _began: list[tuple[Iterable[str], float]] = field(default_factory=list)
    _ended: dict[str, float] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def began(self, keys: Iterable[str], at: float) -> None:
        """The triggers of these runs were committed at this instant. From any thread; the keys are asked for later."""
        self._began.append((keys, at))

    def ended(self, keys: Iterable[str], at: float) -> None:
        """The outcomes of these runs were committed. On the driver's loop."""
        for key in keys:
            self._ended.setdefault(key, at)
        self._news.set()

    async def run(self, name: str, *, count: int, in_flight: int) -> Phase:
        self._began, self._ended = [], {}
        keys, published = deque(keys_of(name, count)), 0
        cpu = self.cpu_s()
        while len(self._ended) < count:
            self._news.clear()
            room = min(in_flight - (published - len(self._ended)), len(keys))
            if room:
                published += room
                await self.publish([keys.popleft() for _ in range(room)])
            else:
                async with asyncio.timeout(STALLED_S):
                    await self._news.wait()
        cpu_s = self.cpu_s() - cpu
        began = {key: at for published, at in self._began for key in published}
        return Phase.of(
            name,
            latencies_s=[at - began[key] for key, at in self._ended.items()],
            elapsed_s=max(self._ended.values()) - min(began.values()),
            cpu_s=cpu_s,
        )


def trigger_of(key: str) -> bytes:
    return f'{{"request":"{key}","order":"{order_of(key)}"}}'.encode()


def order_of(key: str) -> str:
    return f"order-{key}"


def key_of(order: bytes) -> str:
    return order.decode().removeprefix("order-")
