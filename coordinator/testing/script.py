"""How handlers are called in a world for tests: as it was scripted, or really, and what befalls what they send."""

import asyncio
import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amends.coordinator.attempt import Attempt, attempting
from amends.coordinator.loop_resources import close_all
from amends.coordinator.runtime import answers
from amends.coordinator.runtime.inbound import Inbound, Item
from amends.coordinator.runtime.work import Work
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.post import Post, Sender
from amends.coordinator.testing.replies import Reply
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, Instant


@dataclass(slots=True)
class Script:
    """Calls handlers: by what was scripted, in order, the last one for ever; else the user's own function."""

    clock: Clock
    replies: dict[str, deque[Reply]]
    arrived: list[Inbound] = field(default_factory=list)
    calls: list[tuple[str, SagaId]] = field(default_factory=list)
    """Every handler that was called, in order."""
    failing: dict[str, deque[Reply]] = field(default_factory=lambda: defaultdict(deque))
    """What comes before the scripted replies, each once."""
    post: Post | None = None
    """The bus to participants that are commanded; None where none stands in."""
    places: Mapping[str, str | None] | None = None
    """Where stand-ins are, by connector; None where connectors go where they were declared to."""
    _later: list[tuple[Instant, int, Work, Reply]] = field(default_factory=list)
    _unanswered: dict[int, tuple[Work, Reply]] = field(default_factory=dict)

    def submit(self, works: list[Work]) -> None:
        for work in works:
            self.calls.append((work.handler.name, work.saga_id))
            work.begun = True
            reply = self._next(work.handler.name)
            if reply is None or reply.on_the_bus is not None:
                self.arrived.append(self._really(work, reply))
            elif reply.after_ms is None:
                self._unanswered[id(work)] = (work, reply)
            elif reply.after_ms == 0:
                self.arrived.append(_scripted(work, reply))
            else:
                due = self.clock.now + reply.after_ms * MILLISECOND
                heapq.heappush(self._later, (due, len(self.calls), work, reply))

    def _really(self, work: Work, reply: Reply | None) -> Item:
        """Call the user's function; this befalls what it sends."""
        if self.places is not None:
            own = {name: getattr(work.attempt, name) for name in Attempt.__struct_fields__}
            work.attempt = Attempt(**{**own, "places": self.places})
        if self.post is not None:
            fault, held_ms = (None, None) if reply is None else (reply.on_the_bus, reply.after_ms)
            self.post.sender = Sender(call=len(self.calls), fault=fault, held_ms=held_ms)
        return _really(work)

    def _next(self, handler: str) -> Reply | None:
        """What a handler answers now; None: it is really called."""
        failing, script = self.failing[handler], self.replies.get(handler)
        if failing:
            return failing.popleft()
        if script is None:
            return None
        return script.popleft() if len(script) > 1 else script[0]

    def stop(self, work: Work) -> bool:
        found = self._unanswered.pop(id(work), None)
        if found is not None:
            self.arrived.append(answers.raised(work, asyncio.CancelledError()))
            return True
        return False

    @property
    def behind(self) -> bool:
        """Whatever is handed over begins at once."""
        return False

    def look_after(self) -> None:
        """Nothing here blocks."""

    def next_due(self) -> Instant | None:
        """When the next reply comes by itself."""
        replied = self._later[0][0] if self._later else None
        carried = self.post.next_due() if self.post is not None else None
        return min((due for due in (replied, carried) if due is not None), default=None)

    def come_up(self) -> None:
        """Take the replies whose time has come."""
        if self.post is not None:
            self.post.come_up()
        while self._later and self._later[0][0] <= self.clock.now:
            _, _, work, reply = heapq.heappop(self._later)
            self.arrived.append(_scripted(work, reply))

    def forget(self) -> None:
        """The process died: nothing that runs will ever answer."""
        self._later.clear()
        self._unanswered.clear()
        self.arrived.clear()


def replies_of(name: str, given: Reply | Iterable[Reply]) -> deque[Reply]:
    """What a handler answers, in order. Raises `TypeError` where something else was given: a bare value, say."""
    found = [given] if isinstance(given, Reply) else list(given)
    if not found or not all(isinstance(each, Reply) for each in found):
        raise TypeError(f"the replies of {name} are {given!r}; give ok(…), fails(…) or the like, or a list of them")
    return deque(found)


def _scripted(work: Work, reply: Reply) -> Item:
    return answers.raised(work, reply.error) if reply.error is not None else answers.returned(work, reply.value)


def _really(work: Work) -> Item:
    """Call the user's function."""
    try:
        with attempting(work.attempt):
            result = work.handler.function(**work.arguments())
            if work.handler.is_async:
                result = asyncio.run(_awaited(result))
    except Exception as error:  # noqa: BLE001  whatever a handler raises is its reply
        return answers.raised(work, error)
    return answers.returned(work, result)


async def _awaited(result: Any) -> Any:  # noqa: ANN401  whatever a handler returns
    try:
        return await result
    finally:
        await close_all()
