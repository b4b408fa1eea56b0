"""A truck is booked with a shipper that is commanded over the bus, then a card is charged. The shipper's undo forgets.

Whoever cancels frees the slot, but leaves the truck loaded.
"""

from pydantic import BaseModel

from amends import Context, Participant, Pending, Saga, Sql, Topic
from amends.participant import Service, Transaction
from amends.testing import ParticipantStandIn, Sandbox, SqlStandIn

shipping = Participant("shipping", commands="shipping.commands", replies="shipping.replies")
ledger = Sql("ledger", url="sqlite:///ledger.db")


class Order(BaseModel):
    request_id: str
    sku: str
    quantity: int


class Booking(BaseModel):
    slot: int


order = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"))


@order.action(dependency=shipping, pending_within="10m")
async def book(ctx: Context, trigger: Order) -> Booking | Pending:
    return await shipping.send(ctx, "book", {"sku": trigger.sku, "quantity": trigger.quantity})


@book.undo(verify="reply", pending_within="10m")
async def cancel(ctx: Context, trigger: Order) -> Pending:
    return await shipping.send(ctx, "cancel", {"sku": trigger.sku, "quantity": trigger.quantity})


@order.action(dependency=ledger, after=book)
async def charge(trigger: Order) -> None:
    def enter(tx: Transaction) -> None:
        tx.execute("INSERT INTO charges VALUES (?, ?)", (trigger.request_id, trigger.quantity * 100))

    await ledger.perform(enter)


@charge.undo(verify="reply")
async def refund(trigger: Order) -> None:
    await ledger.undo(lambda tx: tx.execute("DELETE FROM charges WHERE request_id = ?", (trigger.request_id,)))


# The shipper, as it runs in a process of its own.

service = Service(
    "shipping", commands="shipping.commands", replies="shipping.replies", database="sqlite:///shipping.db"
)


class Load(BaseModel):
    sku: str
    quantity: int


@service.on("book")
def book_slot(tx: Transaction, load: Load) -> Booking:
    tx.execute("UPDATE trucks SET loaded = loaded + ?", (load.quantity,))
    found = tx.fetch_one("INSERT INTO slots (sku) VALUES (?) RETURNING slot", (load.sku,))
    assert found is not None
    return Booking(slot=found["slot"])


@service.on("cancel")
def free_slot(tx: Transaction, load: Load) -> None:
    tx.execute("DELETE FROM slots WHERE slot = ?", (tx.step_result(Booking).slot,))


sandbox = Sandbox(
    order,
    triggers=[Order(request_id="R-1", sku="tea", quantity=2)],
    stand_ins=[
        ParticipantStandIn(
            shipping,
            service,
            script="CREATE TABLE slots (slot INTEGER PRIMARY KEY, sku TEXT);"
            "CREATE TABLE trucks (truck TEXT PRIMARY KEY, loaded INTEGER);"
            "INSERT INTO trucks VALUES ('T-1', 5); INSERT INTO slots VALUES (7, 'mug');",
        ),
        SqlStandIn(ledger, script="CREATE TABLE charges (request_id TEXT PRIMARY KEY, cents INTEGER);"),
    ],
)
