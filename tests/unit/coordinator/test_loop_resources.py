"""What connectors open on a loop is opened once there, and all of it is closed."""

import asyncio

import pytest

from amends.coordinator.loop_resources import close_all, hold


class Resource:
    def __init__(self, *, fails: bool = False) -> None:
        self.closed = 0
        self.fails = fails

    async def close(self) -> None:
        self.closed += 1
        if self.fails:
            raise OSError("no")


async def test_a_resource_is_opened_once_and_closed_once() -> None:
    first = hold("a", Resource, Resource.close)
    assert hold("a", Resource, Resource.close) is first
    assert hold("b", Resource, Resource.close) is not first
    await close_all()
    await close_all()
    assert first.closed == 1
    assert hold("a", Resource, Resource.close) is not first
    await close_all()


def test_each_loop_has_its_own() -> None:
    async def opened() -> Resource:
        resource = hold("a", Resource, Resource.close)
        await close_all()
        return resource

    assert asyncio.run(opened()) is not asyncio.run(opened())


async def test_one_that_cannot_be_closed_keeps_no_other_open() -> None:
    good = hold("good", Resource, Resource.close)
    hold("bad", lambda: Resource(fails=True), Resource.close)
    last = hold("last", Resource, Resource.close)
    with pytest.raises(ExceptionGroup, match="could not be closed"):
        await close_all()
    assert (good.closed, last.closed) == (1, 1)
