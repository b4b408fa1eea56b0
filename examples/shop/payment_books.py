"""The books of the payments service: what was asked, what was answered under which key, what money moved.

One SQLite file. `requests` and `movements` only ever grow: they are the ground truth that `reconcile.py` reads. A
request, its answer and its movement are one transaction, so after a crash all of them are there, or none.
"""

import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    payment_id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, card TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0), currency TEXT NOT NULL,
    refunded_cents INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cents BETWEEN 0 AND amount_cents));
CREATE TABLE IF NOT EXISTS refunds (
    refund_id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, payment_key TEXT NOT NULL,
    payment_id TEXT REFERENCES payments, amount_cents INTEGER NOT NULL,
    CHECK ((amount_cents > 0) = (payment_id IS NOT NULL)));
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, operation TEXT NOT NULL, subject TEXT NOT NULL,
    key TEXT NOT NULL, epoch INTEGER, fault TEXT);
CREATE TABLE IF NOT EXISTS movements (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'refund')), payment_id TEXT NOT NULL REFERENCES payments,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0));
"""

SELECT_PAYMENT = "SELECT payment_id, key, order_id, card, amount_cents, refunded_cents, currency FROM payments"


class Payment(Struct, frozen=True, kw_only=True):
    """One charge, and how much of it was given back."""

    payment_id: str
    key: str
    order_id: str
    card: str
    amount: str
    refunded: str
    currency: str


class Refund(Struct, frozen=True, kw_only=True):
    """Money given back; `payment_id` is null where a refund came before its charge, which can then never happen."""

    refund_id: str
    payment_id: str | None
    amount: str


class Answer(Struct, frozen=True, kw_only=True):
    """What a caller was told, word for word; under the same key it is told the same again."""

    status: int
    body: bytes

    @classmethod
    def of(cls, status: int, value: object) -> "Answer":
        return cls(status=status, body=msgspec.json.encode(value))

    @classmethod
    def error(cls, status: int, code: str) -> "Answer":
        return cls.of(status, {"error": code})


class PaymentBooks:
    """All reading and writing of the file; every method but `transaction` is called inside one, or only reads."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;" + SCHEMA
        )

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit when the block ends, roll back when it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def requests_about(self, operation: str, subject: str) -> int:
        """Count the requests received for this operation on this order, whatever became of them."""
        return self._number("SELECT count(*) FROM requests WHERE operation = ? AND subject = ?", operation, subject)

    def highest_epoch(self, key: str) -> int:
        return self._number("SELECT coalesce(max(epoch), 0) FROM requests WHERE key = ?", key)

    def note_request(self, operation: str, subject: str, key: str, epoch: int | None, fault: str | None) -> None:
        self._db.execute(
            "INSERT INTO requests (at_us, operation, subject, key, epoch, fault) VALUES (?, ?, ?, ?, ?, ?)",
            (_now_us(), operation, subject, key, epoch, fault),
        )

    def answer_to(self, key: str, digest: str) -> Answer | None:
        """Return what was answered under this key, or 422 if it was another request; None if the key is new."""
        row = self._db.execute("SELECT digest, status, body FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return Answer(status=row[1], body=row[2].encode()) if row[0] == digest else Answer.error(422, "key_reused")

    def keep_answer(self, key: str, digest: str, answer: Answer) -> None:
        self._db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (key, digest, answer.status, answer.body.decode()))

    def charge(self, key: str, *, order_id: str, card: str, cents: int, currency: str) -> Payment:
        payment = Payment(
            payment_id=f"pay_{uuid.uuid4().hex[:12]}",
            key=key,
            order_id=order_id,
            card=card,
            amount=amount_of(cents),
            refunded=amount_of(0),
            currency=currency,
        )
        self._db.execute(
            "INSERT INTO payments (payment_id, key, order_id, card, amount_cents, currency) VALUES (?, ?, ?, ?, ?, ?)",
            (payment.payment_id, key, order_id, card, cents, currency),
        )
        self._move("charge", payment.payment_id, key, cents)
        return payment

    def refund(self, key: str, payment: Payment, cents: int) -> Refund | None:
        """Give back `cents` of the payment; None if that is nothing, or more than is left of it."""
        if not 0 < cents <= cents_of(payment.amount) - cents_of(payment.refunded):
            return None
        self._db.execute(
            "UPDATE payments SET refunded_cents = refunded_cents + ? WHERE payment_id = ?", (cents, payment.payment_id)
        )
        self._move("refund", payment.payment_id, key, cents)
        return self._keep_refund(key, payment.key, payment.payment_id, cents)

    def bury(self, key: str, payment_key: str) -> Refund:
        """Answer a refund that came before its charge: nothing to give back, and the charge can never happen."""
        return self._keep_refund(key, payment_key, None, 0)

    def buried(self, payment_key: str) -> bool:
        return (
            self._number("SELECT count(*) FROM refunds WHERE payment_key = ? AND payment_id IS NULL", payment_key) > 0
        )

    def payment(self, payment_id: str) -> Payment | None:
        return self._payment(f"{SELECT_PAYMENT} WHERE payment_id = ?", payment_id)

    def payment_by_key(self, key: str) -> Payment | None:
        return self._payment(f"{SELECT_PAYMENT} WHERE key = ?", key)

    def refund_by_key(self, key: str) -> Refund | None:
        row = self._db.execute(
            "SELECT refund_id, payment_id, amount_cents FROM refunds WHERE key = ?", (key,)
        ).fetchone()
        return row and Refund(refund_id=row[0], payment_id=row[1], amount=amount_of(row[2]))

    def _keep_refund(self, key: str, payment_key: str, payment_id: str | None, cents: int) -> Refund:
        refund = Refund(refund_id=f"ref_{uuid.uuid4().hex[:12]}", payment_id=payment_id, amount=amount_of(cents))
        self._db.execute(
            "INSERT INTO refunds VALUES (?, ?, ?, ?, ?)", (refund.refund_id, key, payment_key, payment_id, cents)
        )
        return refund

    def _payment(self, query: str, value: str) -> Payment | None:
        row = self._db.execute(query, (value,)).fetchone()
        if row is None:
            return None
        payment_id, key, order_id, card, amount_cents, refunded_cents, currency = row
        return Payment(
            payment_id=payment_id,
            key=key,
            order_id=order_id,
            card=card,
            amount=amount_of(amount_cents),
            refunded=amount_of(refunded_cents),
            currency=currency,
        )

    def _move(self, kind: str, payment_id: str, key: str, cents: int) -> None:
        self._db.execute(
            "INSERT INTO movements (at_us, kind, payment_id, key, amount_cents) VALUES (?, ?, ?, ?, ?)",
            (_now_us(), kind, payment_id, key, cents),
        )

    def _number(self, query: str, *values: str) -> int:
        return int(self._db.execute(query, values).fetchone()[0])


def cents_of(amount: str) -> int:
    """Read an amount such as "49.90". Raises ValueError for anything else: money is never a float."""
    if not re.fullmatch(r"\d{1,9}\.\d\d", amount, re.ASCII):
        message = f"not an amount: {amount!r}; write a decimal string with two places, such as '49.90'"
        raise ValueError(message)
    return int(amount.replace(".", ""))


def amount_of(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _now_us() -> int:
    return time.time_ns() // 1_000
