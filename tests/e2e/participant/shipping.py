"""The participant, in a process of its own. `DIE_AT` says where it is killed, the first time it comes there."""

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from amends.connectors.participant.inbox import CommandInbox
from amends.participant import Service, StepRefused, Transaction

FOLDER = Path(os.environ["SHIPPING"])
PREFIX = os.environ.get("SHOP_PREFIX", "")
DATABASE = FOLDER / "shipping.db"

shipping = Service(
    "shipping",
    commands=f"{PREFIX}shipping.commands",
    replies=f"{PREFIX}shipping.replies",
    database=f"sqlite:///{DATABASE}",
)


class Order(BaseModel):
    order: str


class Booking(BaseModel):
    slot: str


def dies(where: str) -> None:
    """Once, and only where the test wants it."""
    died = FOLDER / "died"
    if os.environ.get("DIE_AT") == where and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@shipping.on("book", external_id="slot")
def book(tx: Transaction, order: Order) -> Booking:
    if order.order.startswith("refused"):
        raise StepRefused("no truck goes there")
    tx.execute("INSERT INTO moves (what, sku) VALUES ('book', ?)", (order.order,))
    tx.execute("INSERT INTO slots (sku) VALUES (?)", (order.order,))
    dies("in the transaction")
    return Booking(slot=f"slot-of-{order.order}")


@shipping.on("cancel")
def cancel(tx: Transaction, order: Order) -> None:
    tx.execute("INSERT INTO moves (what, sku) VALUES ('cancel', ?)", (order.order,))
    tx.execute("DELETE FROM slots WHERE sku = ?", (order.order,))
    dies("in the undo")


class DyingInbox(CommandInbox):
    """Dies between two commits."""

    def take(self, command: Any) -> Any:
        found = super().take(command)
        dies("before the reply")
        return found

    def sent(self, due: Any) -> None:
        dies("after the reply")
        super().sent(due)


if __name__ == "__main__":
    with sqlite3.connect(DATABASE) as database:
        database.execute("CREATE TABLE IF NOT EXISTS slots (sku TEXT PRIMARY KEY)")
        database.execute("CREATE TABLE IF NOT EXISTS moves (what TEXT, sku TEXT)")
    database.close()
    import amends.connectors.participant.service as serving

    serving.CommandInbox = DyingInbox  # type: ignore[attr-defined]
    shipping.run()
