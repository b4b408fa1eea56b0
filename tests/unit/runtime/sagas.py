"""A saga of three steps for tests of the runtime; every handler is scripted or does nothing."""

from pydantic import BaseModel

from amends import Context, Retry, Saga, Topic
from amends.coordinator.ports.rows import InboxRow
from amends.schemas import wishes
from amends.schemas.events import Digest


class Order(BaseModel):
    """A trigger."""

    id: str
    amount: int = 1


class Done(BaseModel):
    """What each step returns."""

    key: str


def order_saga(*, idempotent: bool = True, attempts: int = 3, payload_bytes_max: int = 8_000_000) -> Saga[Order]:
    """`a`, then `b`, then `c`, each with an undo whose reply is its evidence."""
    topic = Topic("orders", Order, idempotency_key="id")
    saga = Saga("order", version=1, trigger=topic, payload_bytes_max=payload_bytes_max)

    @saga.action(idempotent=idempotent, retry=Retry(attempts=attempts), unsafe="a test")
    async def a(ctx: Context, trigger: Order) -> Done:
        return Done(key=ctx.idempotency_key)

    @a.undo(verify="reply")
    async def undo_a(ctx: Context, done: Done | None = a.maybe) -> None: ...

    @saga.action(idempotent=idempotent, retry=Retry(attempts=attempts), unsafe="a test")
    async def b(ctx: Context, done: Done = a.result) -> Done:
        return Done(key=ctx.idempotency_key)

    @b.undo(verify="reply")
    async def undo_b(ctx: Context, done: Done | None = b.maybe) -> None: ...

    @saga.action(idempotent=idempotent, retry=Retry(attempts=attempts), unsafe="a test")
    async def c(ctx: Context, done: Done = b.result) -> Done:
        return Done(key=ctx.idempotency_key)

    @c.undo(verify="reply")
    async def undo_c(ctx: Context, done: Done | None = c.maybe) -> None: ...

    return saga


def wish_to_start(key: str) -> InboxRow:
    """A wish that somebody left in the inbox, for a run of `order_saga`."""
    start = wishes.Start(
        actor="eva",
        saga="order",
        definition_version=1,
        idempotency_key=key,
        business_key=key,
        generation=0,
        origin=None,
        trigger=f'{{"id": "{key}"}}',
        request_digest=Digest("d"),
    )
    return InboxRow(shard=0, message_id="w-1", body=wishes.write(start))
