"""What a handler forgot to await has not happened, and is not taken for done."""

from typing import Any

import pytest

from amends import Retry, Saga, StepRefused, Topic
from amends.testing import run
from tests.unit.runtime.sagas import Order


@pytest.mark.parametrize("is_async", [True, False])
def test_an_undo_that_returns_what_nobody_awaited_is_not_taken_for_done(*, is_async: bool) -> None:
    saga = Saga("order", version=1, trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True)
    async def charge(trigger: Order) -> None: ...

    async def give_back() -> None:
        raise AssertionError("nobody awaits it")

    if is_async:

        @charge.undo(verify="reply", retry=Retry(attempts=1), settle_within="1s")
        async def refund() -> Any:
            return give_back()

    else:

        @charge.undo(verify="reply", retry=Retry(attempts=1), settle_within="1s")
        def refund() -> Any:
            return give_back()

    @saga.read(after=charge)
    async def look() -> None:
        raise StepRefused("no")

    ended = run(saga, {"id": "A"})
    assert (ended.status, ended.undone) == ("parked", ())
    assert "'charge.undo' returned a coroutine: make it async def, and await it" in ended.exposure[0].why
