"""Plays the orders against the real participants as a careful clerk would, without Amends: the books must balance."""

import json
import smtplib
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from email.message import EmailMessage, Message
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import psycopg

from amends.examples.shop import inventory
from amends.examples.shop.launch import Running


class NoAnswer(Exception):
    """The connection broke, or nothing came in time: what happened is not known."""


class Refused(Exception):
    """A participant said no."""


def ask(
    base_url: str, method: str, path: str, body: object = None, *, key: str = "", epoch: str = "", timeout_s: float = 10
) -> tuple[int, Any, Message]:
    """Send one request on a connection of its own, under an idempotency key and an epoch where they are given."""
    headers = {"Idempotency-Key": key, "Amends-Epoch": epoch}
    parts = urlsplit(base_url)
    with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)) as connection:
        try:
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {name: value for name, value in headers.items() if value},
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers
        except (OSError, HTTPException) as error:
            raise NoAnswer(str(error)) from error


def send(mail: Running, recipient: str, subject: str, message_id: str, text: str, *, timeout_s: float = 10) -> None:
    """Send one message. Raises what smtplib raises."""
    message = EmailMessage()
    message["From"] = "The shop <orders@shop.example>"
    message["To"] = recipient
    message["Subject"] = subject
    message["Message-ID"] = message_id
    message.set_content(text)
    with smtplib.SMTP(mail.addresses["smtp_host"], mail.addresses["smtp_port"], timeout=timeout_s) as client:
        client.send_message(message)


class Clerk:
    """Reserves, charges, mails; asks again under the same key when no answer came; undoes in reverse when refused."""

    def __init__(self, inventory_url: str, running: Mapping[str, Running]) -> None:
        self._inventory = inventory_url
        self._payments = running["payments"]
        self._mail = running["mail"]
        inventory.setup(inventory_url)

    def play(self, order: Mapping[str, Any]) -> str:
        """Take one order to its end, and return the status it ended with: completed, compensated or parked."""
        order_id = order["order_id"]
        undos: list[Callable[[], None]] = []
        try:
            self._reserve(order)
            undos.append(lambda: self._release(order_id))
            self._post("/payments", f"charge-{order_id}", charge_of(order))
            undos.append(lambda: self._refund(order_id))
            self._notify(order)
        except Refused:
            return self._undo(undos)
        return "completed"

    def undo(self, order_id: str) -> None:
        """Refund and release what a parked order left."""
        self._refund(order_id)
        self._release(order_id)

    def _undo(self, undos: list[Callable[[], None]]) -> str:
        try:
            while undos:
                undos.pop()()
        except Refused:
            return "parked"
        return "compensated"

    def _reserve(self, order: Mapping[str, Any]) -> None:
        try:
            with inventory.transaction(self._inventory) as execute:
                for line in order["lines"]:
                    execute("UPDATE stock SET on_hand = on_hand - ? WHERE sku = ?", line["quantity"], line["sku"])
                    execute(
                        "INSERT INTO reservations (reservation_id, order_id, sku, quantity) VALUES (?, ?, ?, ?)",
                        f"res-{order['order_id']}",
                        order["order_id"],
                        line["sku"],
                        line["quantity"],
                    )
        except (sqlite3.IntegrityError, psycopg.IntegrityError) as error:
            raise Refused(str(error)) from error

    def _refund(self, order_id: str) -> None:
        self._post("/refunds", f"refund-{order_id}", {"payment_key": f"charge-{order_id}"})

    def _release(self, order_id: str) -> None:
        with inventory.transaction(self._inventory) as execute:
            execute(
                "UPDATE stock SET on_hand = on_hand + quantity FROM reservations"
                " WHERE reservations.sku = stock.sku AND order_id = ? AND state = 'held'",
                order_id,
            )
            execute("UPDATE reservations SET state = 'released' WHERE order_id = ?", order_id)

    def _post(self, path: str, key: str, body: object) -> None:
        for _ in range(3):
            try:
                status, answer, _ = ask(self._payments.url, "POST", path, body, key=key, timeout_s=1)
            except NoAnswer:
                continue
            if status == 201:
                return
            if status < 500:
                raise Refused(answer["error"])
        raise Refused("no answer in three attempts")

    def _notify(self, order: Mapping[str, Any]) -> None:
        order_id = order["order_id"]
        text = f"Thank you. The total is {order['total']} {order['currency']}."
        for _ in range(3):
            try:
                send(
                    self._mail,
                    order["customer"]["email"],
                    f"Your order {order_id} is confirmed",
                    f"<{order_id}@shop.example>",
                    text,
                )
            except smtplib.SMTPRecipientsRefused as error:
                raise Refused(str(error)) from error
            except (smtplib.SMTPDataError, smtplib.SMTPServerDisconnected):
                continue
            return
        raise Refused("no answer in three attempts")


def charge_of(order: Mapping[str, Any]) -> dict[str, str]:
    """Return the body of the charge for an order."""
    return {
        "order_id": order["order_id"],
        "card": order["card"],
        "amount": order["total"],
        "currency": order["currency"],
    }
