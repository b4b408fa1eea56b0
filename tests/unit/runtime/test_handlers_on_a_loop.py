"""Handlers on their own event loop: when the engine hears of their replies, and who is stopped."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final

import pytest

from amends.coordinator.core.messages import Done, Replied
from amends.coordinator.definition.handler import Handler
from amends.coordinator.runtime import handler_loop, hands
from amends.coordinator.runtime.handler_loop import HandlerLoop
from amends.coordinator.runtime.hands import HandlerThreads
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.runs import Identity
from amends.coordinator.runtime.work import Work
from amends.coordinator.testing.attempts import attempt_at
from amends.schemas.ids import SagaId

SOON_S: Final = 5.0


class Heard:
    """What the engine has been told of: replies that were left are heard at the next ring."""

    def __init__(self) -> None:
        self._left: list[Item] = []
        self._news = threading.Condition()
        self.heard: dict[SagaId, Item] = {}
        self.rings: list[int] = []
        """How many replies each ring told of."""
        self.attended = 0
        self.turn: Callable[[], None] = lambda: None
        """What the engine does in a turn that a handlers' thread takes."""

    def put(self, item: Item) -> None:
        self.leave(item)
        self.ring()

    def leave(self, item: Item) -> None:
        with self._news:
            self._left.append(item)

    def ring(self) -> None:
        with self._news:
            self.rings += [len(self._left)]
            self.heard |= {item.saga_id: item for item in self._left}
            self._left.clear()
            self._news.notify_all()

    def attend(self) -> None:
        self.attended += 1
        self.turn()
        self.ring()

    def wait_for(self, *runs: str) -> bool:
        with self._news:
            return self._news.wait_for(lambda: set(runs) <= self.heard.keys(), SOON_S)


@pytest.fixture
def replies() -> Heard:
    return Heard()


@pytest.fixture
def loop(replies: Heard) -> Iterator[HandlerLoop]:
    loop = HandlerLoop(replies, name="handlers")
    yield loop
    loop.close(timeout_s=SOON_S)


def work_of(run: str, function: Callable[[], Any]) -> Work:
    handler = Handler(
        name=run,
        role="step",
        function=function,
        is_async=asyncio.iscoroutinefunction(function),
        dependency=None,
        dependency_name=None,
        takes_context=False,
        parameters=(),
        result=None,
    )
    return Work(
        saga_id=SagaId(run),
        identity=Identity("step", "forward", "step", 1),
        handler=handler,
        values={},
        attempt=attempt_at(SagaId(run)),
        result_bytes_max=1_000,
    )


def test_a_reply_is_told_of_though_the_handler_after_it_waits(loop: HandlerLoop, replies: Heard) -> None:
    """The first rings; so soon after it the second need not, as there is another one to be called."""

    async def first() -> None:
        loop.submit([work_of("second", second)])

    async def second() -> None:
        loop.submit([work_of("third", waits)])

    async def waits() -> None:
        await asyncio.Event().wait()

    loop.submit([work_of("first", first)])
    assert replies.wait_for("first", "second")


def test_replies_of_handlers_that_do_not_wait_are_told_of_together(
    loop: HandlerLoop, replies: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that come first after a pause: to be woken for one would only take the interpreter from the others."""
    monkeypatch.setattr(handler_loop, "RING_AFTER_S", 60.0)

    async def returns() -> None: ...

    for runs in (["a"], ["b", "c", "d"]):
        loop.submit([work_of(run, returns) for run in runs])
        assert replies.wait_for(*runs)
    assert [told for told in replies.rings if told] == [1, 3]


def test_a_turn_that_is_taken_by_a_loop_keeps_no_other_handler_from_what_it_waits_for(
    loop: HandlerLoop, replies: Heard
) -> None:
    gate, begun = asyncio.Event(), threading.Event()

    async def waits() -> None:
        begun.set()
        await gate.wait()

    async def passes() -> None: ...

    loop.submit([work_of("waiting", waits)])
    assert begun.wait(SOON_S)
    loop.submit([work_of("passing", passes)])
    assert replies.wait_for("passing")
    assert replies.attended == 0
    loop.loop.call_soon_threadsafe(gate.set)
    assert replies.wait_for("waiting")
    assert replies.attended == 1


def test_a_turn_that_lasts_does_not_make_a_loop_count_as_blocked(replies: Heard) -> None:
    called_on: list[str] = []
    blocked: list[bool] = []
    threads = HandlerThreads(replies=replies)

    async def passes() -> None:
        called_on.append(threading.current_thread().name)
        blocked.append(threads._loops[0].blocked)

    def turn() -> None:
        threads._loops[0]._beaten_at -= 60.0
        if len(called_on) == 1:
            threads.submit([work_of("second", passes)])
            threads.look_after()

    replies.turn = turn
    try:
        threads.submit([work_of("first", passes)])
        assert replies.wait_for("first", "second")
        assert called_on == ["amends-handlers-0"] * 2
        assert blocked == [False, False]
    finally:
        threads.close(timeout_s=SOON_S)


def test_a_loop_turns_between_handlers_of_which_each_follows_from_the_one_before(
    loop: HandlerLoop, replies: Heard
) -> None:
    turned_after: list[int] = []
    called: list[str] = []

    async def passes() -> None:
        called.append("")
        loop.loop.call_soon(lambda: turned_after.append(len(called)))

    def turn() -> None:
        if len(called) < 3:
            loop.submit([work_of(str(len(called)), passes)])

    replies.turn = turn
    loop.submit([work_of("0", passes)])
    assert replies.wait_for("0", "1", "2")
    assert turned_after[:2] == [1, 2]


def test_what_a_handler_leaves_in_its_context_is_not_seen_by_the_next(loop: HandlerLoop, replies: Heard) -> None:
    customer: ContextVar[str] = ContextVar("customer", default="nobody")
    seen: list[str] = []

    async def leaves() -> None:
        seen.append(customer.get())
        customer.set("somebody")

    loop.submit([work_of("a", leaves), work_of("b", leaves)])
    assert replies.wait_for("a", "b")
    loop.submit([work_of("c", leaves)])
    assert replies.wait_for("c")
    assert seen == ["nobody"] * 3


def test_a_handler_is_stopped_by_its_own_loop_alone(loop: HandlerLoop, replies: Heard) -> None:
    gate, begun = asyncio.Event(), threading.Event()

    async def waits() -> None:
        begun.set()
        await gate.wait()

    async def passes() -> None: ...

    work = work_of("waiting", waits)
    loop.submit([work])
    assert begun.wait(SOON_S)
    other = HandlerLoop(replies, name="other")
    try:
        other.stop(work)
        other.submit([work_of("passing", passes)])
        assert replies.wait_for("passing")
    finally:
        other.close(timeout_s=SOON_S)
    loop.loop.call_soon_threadsafe(gate.set)
    assert replies.wait_for("waiting")
    message = replies.heard[SagaId("waiting")].message
    assert isinstance(message, Replied)
    assert isinstance(message.answer, Done)


@pytest.mark.parametrize(("loops_max", "moved"), [pytest.param(1, 0, id="no other"), pytest.param(2, 1, id="another")])
def test_what_waits_behind_a_handler_that_blocks_is_moved_once_if_there_is_a_loop_for_it(
    loops_max: int, moved: int, replies: Heard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hands, "LOOPS_MAX", loops_max)
    monkeypatch.setattr(handler_loop, "BLOCKED_AFTER_S", 0.5)
    begun, gate = threading.Event(), threading.Event()

    async def blocks() -> None:
        begun.set()
        gate.wait(SOON_S)

    async def passes() -> None: ...

    threads = HandlerThreads(replies=replies)
    try:
        threads.submit([work_of("blocking", blocks), work_of("passing", passes)])
        assert begun.wait(SOON_S)
        until = time.monotonic() + SOON_S
        while threads.behind and time.monotonic() < until:
            gate.wait(0.01)
        for _ in range(3):
            threads.look_after()
        assert [record.msg for record in caplog.records] == ["handler_blocks_its_loop"] * moved
        if moved:
            assert replies.wait_for("passing")
        gate.set()
        assert replies.wait_for("blocking", "passing")
    finally:
        gate.set()
        threads.close(timeout_s=SOON_S)
