"""What compose.yaml runs until you mount sagas of your own: goods are reserved and booked, or nothing is.

The participant is the database `stock` that `deploy/stock.sql` makes. An order of more than is free is refused; one
that says `"card": "stolen"` fails after the reservation, which is then undone.
"""

import os

from pydantic import BaseModel, PositiveInt

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction

# The password is a reference: it is read when a connection is opened, and stands in no definition, log or topic.
stock = Sql(
    "stock", url="postgresql://amends:${{file:{STOCK_PASSWORD_FILE}}}@{STOCK_HOST}/stock".format_map(os.environ)
)


class Order(BaseModel):
    """A trigger."""

    request: str
    item: str
    quantity: PositiveInt
    card: str = "good"


class Booked(BaseModel):
    """What the outcome carries."""

    item: str
    quantity: int


booking = Saga(
    "booking",
    version=1,
    trigger=Topic("shop.bookings", Order, idempotency_key="request"),
)


@booking.action(dependency=stock)
async def reserve(trigger: Order) -> None:
    """Take the goods out of the stock."""

    def take(tx: Transaction) -> None:
        taken = tx.execute(
            "UPDATE stock SET free = free - :quantity WHERE item = :item AND free >= :quantity",
            {"item": trigger.item, "quantity": trigger.quantity},
        )
        if not taken:
            raise StepRefused(f"fewer than {trigger.quantity} of {trigger.item} are free", kind="sold_out")

    await stock.perform(take)


@reserve.undo(verify="reply")
async def release(trigger: Order) -> None:
    """Put them back, if they were taken; if the reservation comes late, it is refused."""

    def give_back(tx: Transaction) -> None:
        tx.execute(
            "UPDATE stock SET free = free + :quantity WHERE item = :item",
            {"item": trigger.item, "quantity": trigger.quantity},
        )

    await stock.undo(give_back)


@booking.action(dependency=stock, after=reserve)
async def book(trigger: Order) -> None:
    """Write the booking down, under the request's own name."""

    def write(tx: Transaction) -> None:
        if trigger.card == "stolen":
            raise StepRefused("the card is stolen", kind="card")
        tx.execute(
            "INSERT INTO bookings (request, item, quantity) VALUES (:request, :item, :quantity)",
            trigger.model_dump(include={"request", "item", "quantity"}),
        )

    await stock.perform(write)


@book.undo
async def unbook(trigger: Order) -> None:
    """Strike the booking out."""

    def strike(tx: Transaction) -> None:
        tx.execute("DELETE FROM bookings WHERE request = :request", {"request": trigger.request})

    await stock.undo(strike)


@unbook.verify
async def is_unbooked(trigger: Order) -> bool:
    found = "SELECT 1 FROM bookings WHERE request = :request"
    return await stock.read(lambda tx: tx.fetch_one(found, {"request": trigger.request})) is None


@booking.result
def booked(trigger: Order) -> Booked:
    return Booked(item=trigger.item, quantity=trigger.quantity)
