"""Ships a container: a harbor in a process of its own books a berth when it gets to it, and answers by a message.

`python harbor.py` is the harbor. The saga knows of it only the two topics.
"""

import sqlite3

from pydantic import BaseModel, PositiveInt

from amends import Context, Participant, Pending, Saga, StepRefused, Topic
from amends.participant import Service, Transaction
from amends.testing import ParticipantStandIn, Sandbox


class Container(BaseModel):
    """What arrives on the topic `containers`."""

    request_id: str
    container: str
    tons: PositiveInt


class Berth(BaseModel):
    """What the harbor answers."""

    crane: int


# The saga.

harbor = Participant("harbor", commands="harbor.commands", replies="harbor.replies")

freight = Saga(
    "freight", trigger=Topic("containers", Container, idempotency_key="request_id", business_key="container")
)


@freight.action(dependency=harbor, pending_within="30s")
async def book(ctx: Context, trigger: Container) -> Berth | Pending:
    """Send the command. What it comes to is pending until the harbor answers."""
    return await harbor.send(ctx, "book", trigger)


@book.undo(verify="reply", pending_within="30s")
async def cancel(ctx: Context, trigger: Container) -> Pending:
    return await harbor.send(ctx, "cancel", trigger)


@freight.action(idempotent=True, irreversible=True)
async def load(trigger: Container, berth: Berth = book.result) -> str:
    if trigger.tons > 30:  # noqa: PLR2004  what a crane lifts
        raise StepRefused("a crane lifts 30 tons", kind="too_heavy")
    return f"{trigger.container} by crane {berth.crane}"


# The harbor: each command, its key and its answer are one transaction of its own database.

service = Service("harbor", commands="harbor.commands", replies="harbor.replies", database="sqlite:///harbor.db")


@service.on("book")
def book_berth(tx: Transaction, container: Container) -> Berth:
    berth = Berth(crane=1 + container.tons % 3)
    tx.execute("INSERT INTO berths VALUES (?, ?)", (container.container, berth.crane))
    return berth


@service.on("cancel")
def cancel_berth(tx: Transaction, container: Container) -> None:
    """Called only where there is a berth to cancel; a booking that comes later is refused."""
    tx.execute("DELETE FROM berths WHERE container = ?", (container.container,))


# Both together, where nothing is real: `amends rehearse harbor.py`.

sandbox = Sandbox(
    freight,
    triggers=[Container(request_id="C-1", container="MSKU 1", tons=12)],
    stand_ins=[ParticipantStandIn(harbor, service, script="CREATE TABLE berths (container TEXT, crane INTEGER)")],
    unseen=["load"],
)


if __name__ == "__main__":
    with sqlite3.connect("harbor.db") as books:
        books.execute("CREATE TABLE IF NOT EXISTS berths (container TEXT, crane INTEGER)")
    service.run()
