"""What the participants' own records say while the demo runs. Nothing here asks Amends."""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """The card processor's side: how often it was asked to charge, and what it took."""

    requests: int
    payments: Counter[str]
    """How often each order was paid for."""

    @property
    def most_for_one_order(self) -> int:
        return max(self.payments.values(), default=0)


def charges(shop: Path) -> Charges:
    """Count the requests received and the payments taken, by the ledgers that only grow."""
    asked = _rows(shop / "payments.db", "SELECT count(*) FROM requests WHERE operation = 'charge'")
    taken = _rows(
        shop / "payments.db",
        "SELECT p.order_id FROM movements AS m JOIN payments AS p USING (payment_id) WHERE m.kind = 'charge'",
    )
    return Charges(requests=asked[0][0], payments=Counter(order_id for (order_id,) in taken))


def requests_about(shop: Path, order_id: str) -> int:
    """Count the requests to charge for this order."""
    query = "SELECT count(*) FROM requests WHERE operation = 'charge' AND subject = ?"
    return int(_rows(shop / "payments.db", query, order_id)[0][0])


def orders_with_card(orders: Path, ending: str) -> list[str]:
    """Find the orders that are paid with a card ending so, in the order they are published."""
    found = []
    for line in orders.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if str(record.get("card", "")).endswith(ending):
            found.append(str(record["order_id"]))
    return found


def _rows(path: Path, query: str, *values: str) -> Sequence[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
        return database.execute(query, values).fetchall()
