"""Does the shop's world add up? Reads the participants' own databases, and nothing of the coordinator that moved them.

    python reconcile.py --data FOLDER [--orders orders.jsonl] [--inventory URL] [--outcomes outcomes.jsonl]

An order counts as completed when its confirmation was mailed and not taken back. For each completed order the money
was kept once, its goods left the stock, and one mail says so; of every other order nothing is left. With `--outcomes`
(a JSON object a line, with `status` and `business_key`) what was reported must be what happened, and nothing be parked.
Exit code: 0 if the books balance, 1 if they do not, 2 if they cannot be read. Standard library only.
"""

import argparse
import json
import re
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NoReturn

Rows = list[tuple[Any, ...]]
SHOWN_MAX = 5
CREATED = 201
REFUSED = (402, 409)
ANSWERS = "SELECT key, status, body FROM answers"
LAST_AND_COUNT = "SELECT max(n), count(*) FROM "
Database = Any  # a sqlite3 or a psycopg connection: what is used of them is the same
SUBJECT = re.compile(r"Your order (\S+) is (confirmed|cancelled)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as it was published; money in cents."""

    email: str
    card: str
    currency: str
    total: int
    items: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A stored message, and what its subject says of which order."""

    message_id: str
    recipient: str
    subject: str
    order_id: str
    kind: str
    message: EmailMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the participants' databases hold."""

    payments: Rows
    refunds: Rows
    answers: Rows
    requests: Rows
    money: Rows
    stock: Rows
    reservations: Rows
    stock_moves: Rows
    mails: list[Mail]
    deliveries: Rows
    growing: Mapping[str, tuple[int, tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison: what it is about, how many things were compared, and where they differ."""

    title: str
    compared: int
    differences: list[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was compared; the exit code says whether the books balance."""
    parser = argparse.ArgumentParser(description="Do the books of the shop's participants balance?")
    parser.add_argument("--data", type=Path, required=True, help="folder with payments.db, inventory.db and mail.db")
    parser.add_argument("--orders", type=Path, default=Path(__file__).with_name("orders.jsonl"), help="as published")
    parser.add_argument("--inventory", metavar="URL", help="sqlite:///… or postgresql://… (default: in the folder)")
    parser.add_argument("--outcomes", type=Path, help="reported outcomes, a JSON object a line")
    arguments = parser.parse_args(argv)
    try:
        orders = read_orders(arguments.orders)
        books = read_books(arguments.data, arguments.inventory or f"sqlite:///{arguments.data / 'inventory.db'}")
        outcomes = None if arguments.outcomes is None else read_outcomes(arguments.outcomes)
    except (OSError, ImportError, sqlite3.Error, KeyError, ValueError) as error:
        sys.stderr.write(f"the books cannot be read: {error}\n")
        return 2
    completed = _orders_told(books, "confirmed") - _orders_told(books, "cancelled")
    checks = [
        *money_checks(books, orders, completed),
        *stock_checks(books, orders, completed),
        *mail_checks(books, orders, completed),
        *([] if outcomes is None else outcome_checks(outcomes, completed)),
    ]
    sys.stdout.write("\n".join(report(books, orders, completed, checks)) + "\n")
    return 1 if any(check.differences for check in checks) else 0


def money_checks(books: Books, orders: Mapping[str, Order], completed: set[str]) -> Iterable[Check]:
    """Compare the money that moved with the completed orders, and the payment service's tables with each other."""
    order_of = {payment_id: order_id for payment_id, _, order_id, *_ in books.payments}
    kept: Counter[str] = Counter()
    most: Counter[str] = Counter()
    moved: dict[str, Counter[str]] = defaultdict(Counter)
    for _, kind, payment_id, cents in books.money:
        order_id = order_of.get(payment_id, f"of payment {payment_id}")
        kept[order_id] += cents if kind == "charge" else -cents
        most[order_id] = max(most[order_id], kept[order_id])
        moved[payment_id][kind] += cents
    totals = {order_id: order.total for order_id, order in orders.items()}
    yield compare(
        "money kept is the total of each completed order", {o: totals.get(o) for o in completed}, _not_zero(kept)
    )
    yield compare("no payment was taken twice", {o: min(most[o], totals.get(o, 0)) for o in most}, most)
    yield compare(
        "each payment is for an order as published",
        {
            row[0]: (order.card, order.currency, order.total) if (order := orders.get(row[2])) else None
            for row in books.payments
        },
        {payment_id: (card, currency, cents) for payment_id, _, _, card, cents, currency, _ in books.payments},
    )
    yield compare(
        "payments agree with the money that moved",
        {row[0]: (row[4], row[6]) for row in books.payments},
        {payment_id: (amounts["charge"], amounts["refund"]) for payment_id, amounts in moved.items()},
    )
    yield compare(
        "payments and refunds agree with it key by key",
        {
            **{key: ("charge", payment_id, cents) for payment_id, key, _, _, cents, _, _ in books.payments},
            **{key: ("refund", payment_id, cents) for _, key, _, payment_id, cents in books.refunds if payment_id},
        },
        {key: (kind, payment_id, cents) for key, kind, payment_id, cents in books.money},
    )
    yield from _request_checks(books, order_of)


def _request_checks(books: Books, order_of: Mapping[str, str]) -> Iterable[Check]:
    payments = {
        key: {"payment_id": payment_id, "key": key, "order_id": order_id, "card": card, "amount": amount(cents)}
        | {"refunded": "0.00", "currency": currency}
        for payment_id, key, order_id, card, cents, currency, _ in books.payments
    }
    key_of = {payment["payment_id"]: key for key, payment in payments.items()}
    refunds = {
        key: {"refund_id": refund_id, "payment_id": payment_id, "amount": amount(cents)}
        for refund_id, key, _, payment_id, cents in books.refunds
    }
    yield compare(
        "what was done is what was answered",
        payments | refunds,
        {key: body for key, status, body in books.answers if status == CREATED},
    )
    yield compare(
        "each refund names the key of its payment",
        {key: key_of[payment_id] for _, key, _, payment_id, _ in books.refunds if payment_id in key_of},
        {key: payment_key for _, key, payment_key, payment_id, _ in books.refunds if payment_id},
    )
    asked: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for operation, subject, key, fault in books.requests:
        if fault != "down":
            asked[key].add((operation, subject))
    expected = {key: {("charge", payment["order_id"])} for key, payment in payments.items()}
    expected |= {key: {("refund", order_of.get(refund["payment_id"] or "", ""))} for key, refund in refunds.items()}
    refused = {key for key, status, _ in books.answers if status in REFUSED}
    yield compare(
        "nothing was done or refused that was not asked for",
        expected | {key: asked[key] or "a request" for key in refused},
        {key: value for key, value in asked.items() if value},
    )


def stock_checks(books: Books, orders: Mapping[str, Order], completed: set[str]) -> Iterable[Check]:
    """Compare what left the stock with the completed orders, and with the reservations."""
    sold = dict.fromkeys((sku for order in orders.values() for sku in order.items), 0)
    for order_id in completed & orders.keys():
        for sku, quantity in orders[order_id].items.items():
            sold[sku] += quantity
    yield compare(
        "what left the stock is what was sold",
        sold,
        {sku: opening - on_hand for sku, opening, on_hand in books.stock},
    )
    held: dict[str, Counter[str]] = defaultdict(Counter)
    out: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for order_id, sku, quantity, state in books.reservations:
        out[sku] += quantity
        if state == "held":
            held[order_id][sku] += quantity
        else:
            back[sku] += quantity
    yield compare(
        "goods are held for the completed orders alone",
        {o: dict(orders[o].items) if o in orders else None for o in completed},
        {o: dict(items) for o, items in held.items()},
    )
    moved: dict[str, Counter[str]] = defaultdict(Counter)
    for sku, delta in books.stock_moves:
        moved[sku]["out" if delta < 0 else "back"] += abs(delta)
    yield compare(
        "each movement of stock has its reservation or release",
        {sku: (quantity, back[sku]) for sku, quantity in out.items()},
        {sku: (counts["out"], counts["back"]) for sku, counts in moved.items()},
    )


def mail_checks(books: Books, orders: Mapping[str, Order], completed: set[str]) -> Iterable[Check]:
    """Compare the mails with the completed orders: one confirmation each; every other confirmation was taken back."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for mail in books.mails:
        told[mail.order_id][mail.kind] += 1
    yield compare(
        "one mail for each completed order, none that still stands for another",
        {o: {"confirmed": 1} if o in completed else {"confirmed": 1, "cancelled": 1} for o in told.keys() | completed},
        {o: dict(kinds) for o, kinds in told.items()},
    )
    yield compare(
        "each mail went to who ordered, and names the total",
        {m.message_id: (orders[m.order_id].email, True) if m.order_id in orders else None for m in books.mails},
        {m.message_id: (m.recipient, _names_total(m, orders.get(m.order_id))) for m in books.mails},
    )
    yield compare(
        "each mail is stored as it was sent",
        {m.message_id: (m.message_id, m.recipient, m.subject) for m in books.mails},
        {m.message_id: tuple(str(m.message[name]) for name in ("Message-ID", "To", "Subject")) for m in books.mails},
    )
    yield compare(
        "what was accepted is what was stored",
        dict.fromkeys(((m.message_id, m.recipient) for m in books.mails), True),
        {(message_id, to): True for message_id, to, fault in books.deliveries if fault not in ("refuse", "down")},
    )
    yield compare(
        "no row is missing from what only grows",
        {table: (last, last) for table, (last, _) in books.growing.items()},
        {table: last_and_count for table, (_, last_and_count) in books.growing.items()},
    )


def outcome_checks(outcomes: Mapping[str, str], completed: set[str]) -> Iterable[Check]:
    """Compare what was reported with what happened."""
    reported = {order_id for order_id, status in outcomes.items() if status == "completed"}
    yield compare("orders reported as completed are", dict.fromkeys(reported, True), dict.fromkeys(completed, True))
    closed = {order_id: status for order_id, status in outcomes.items() if status in ("completed", "compensated")}
    yield compare("no order was left half done", closed, outcomes)


def compare(title: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> Check:
    """Compare two mappings, key by key."""
    keys = expected.keys() | found.keys()
    return Check(
        title=title,
        compared=len(keys),
        differences=[
            f"{key}: expected {expected.get(key, 'nothing')}, found {found.get(key, 'nothing')}"
            for key in sorted(keys, key=str)
            if key not in expected or key not in found or expected[key] != found[key]
        ],
    )


def report(books: Books, orders: Mapping[str, Order], completed: set[str], checks: Sequence[Check]) -> Iterable[str]:
    """Put the comparison into words, a line at a time."""
    yield "The shop's books, by the participants' own databases"
    money: dict[str, Counter[str]] = defaultdict(Counter)
    currency_of = {payment_id: currency for payment_id, _, _, _, _, currency, _ in books.payments}
    for _, kind, payment_id, cents in books.money:
        money[currency_of.get(payment_id, "?")][kind] += cents
    for order_id in completed & orders.keys():
        money[orders[order_id].currency]["due"] += orders[order_id].total
    for currency, sums in sorted(money.items()):
        taken, returned, due = (amount(sums[kind]) for kind in ("charge", "refund", "due"))
        kept = amount(sums["charge"] - sums["refund"])
        yield f"  {currency}    taken {taken} - returned {returned} = {kept}; orders completed {due}"
    opening, on_hand = (sum(row[column] for row in books.stock) for column in (1, 2))
    sold = sum(sum(orders[order_id].items.values()) for order_id in completed & orders.keys())
    yield f"  stock  at first {opening} - now {on_hand} = {opening - on_hand}; in completed orders {sold}"
    yield f"  mails  {len(books.mails)} for {len(completed)} completed orders of {len(orders)} published"
    failed = 0
    for check in checks:
        failed += bool(check.differences)
        yield f"  {'✖' if check.differences else '✔'} {check.title} ({check.compared} compared)"
        yield from (f"      {difference}" for difference in check.differences[:SHOWN_MAX])
        if len(check.differences) > SHOWN_MAX:
            yield f"      … and {len(check.differences) - SHOWN_MAX} more"
    yield f"The books do not balance: see ✖, {failed} of {len(checks)}." if failed else "The books balance."


def read_orders(path: Path) -> dict[str, Order]:
    """Read what was published; of several records for one order the first that is complete counts."""
    orders: dict[str, Order] = {}
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line, parse_constant=_not_a_number)
            items: Counter[str] = Counter()
            for item in record["lines"]:
                items[item["sku"]] += int(item["quantity"])
            order = Order(
                email=record["customer"]["email"],
                card=record["card"],
                currency=record["currency"],
                total=int(record["total"].replace(".", "")),
                items=items,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        orders.setdefault(record["order_id"], order)
    return orders


def read_outcomes(path: Path) -> dict[str, str]:
    """Read the status of each order from its last outcome: one that another supersedes no longer counts."""
    outcomes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    superseded = {outcome.get("supersedes") for outcome in outcomes} - {None}
    return {o["business_key"]: o["status"] for o in outcomes if o.get("outcome_id") not in superseded}


def read_books(data: Path, inventory_url: str) -> Books:
    """Read the three databases, without changing them."""
    with (
        closing(_sqlite(data / "payments.db")) as payments,
        closing(_database(inventory_url)) as inventory,
        closing(_sqlite(data / "mail.db")) as mail,
    ):
        return Books(
            payments=_rows(
                payments, "SELECT payment_id, key, order_id, card, amount_cents, currency, refunded_cents FROM payments"
            ),
            refunds=_rows(payments, "SELECT refund_id, key, payment_key, payment_id, amount_cents FROM refunds"),
            answers=[(key, status, json.loads(body)) for key, status, body in _rows(payments, ANSWERS)],
            requests=_rows(payments, "SELECT operation, subject, key, fault FROM requests"),
            money=_rows(payments, "SELECT key, kind, payment_id, amount_cents FROM movements ORDER BY n"),
            stock=_rows(inventory, "SELECT sku, opening, on_hand FROM stock"),
            reservations=_rows(inventory, "SELECT order_id, sku, quantity, state FROM reservations"),
            stock_moves=_rows(inventory, "SELECT sku, delta FROM movements"),
            mails=[_mail(*row) for row in _rows(mail, "SELECT message_id, recipient, subject, raw FROM messages")],
            deliveries=_rows(mail, "SELECT message_id, recipient, fault FROM requests"),
            growing={
                f"{name}.{table}": (last, _rows(database, LAST_AND_COUNT + table)[0])
                for name, database in (("payments", payments), ("inventory", inventory), ("mail", mail))
                if isinstance(database, sqlite3.Connection)  # PostgreSQL numbers may have gaps.
                for table, last in _rows(database, "SELECT name, seq FROM sqlite_sequence")
            },
        )


def _database(url: str) -> Database:
    if url.startswith("sqlite:///"):
        return _sqlite(Path(url.removeprefix("sqlite:///")))
    import psycopg  # noqa: PLC0415  only where the inventory is a PostgreSQL database

    try:
        return psycopg.connect(url)
    except psycopg.Error as error:
        raise OSError(error) from error


def _sqlite(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _rows(database: Database, query: str) -> Rows:
    return list(database.execute(query).fetchall())


def _mail(message_id: str, recipient: str, subject: str, raw: bytes) -> Mail:
    told = SUBJECT.fullmatch(subject)
    return Mail(
        message_id=message_id,
        recipient=recipient,
        subject=subject,
        order_id=told[1] if told else f"of message {message_id}",
        kind=told[2] if told else "of no known kind",
        message=message_from_bytes(raw, policy=policy.default),
    )


def _orders_told(books: Books, kind: str) -> set[str]:
    return {mail.order_id for mail in books.mails if mail.kind == kind}


def _names_total(mail: Mail, order: Order | None) -> bool:
    body = mail.message.get_body(("plain",))
    if order is None or body is None:
        return False
    return re.search(rf"(?<![\d.]){amount(order.total)} {order.currency}\b", body.get_content()) is not None


def _not_zero(numbers: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if number}


def amount(cents: int) -> str:
    """Write cents as an amount, such as 49.90."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


if __name__ == "__main__":
    raise SystemExit(main())
