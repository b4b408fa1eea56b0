"""Payments: a card processor as the shop meets it, an HTTP service in a process of its own.

| request                                     | does                                                              |
|---------------------------------------------|-------------------------------------------------------------------|
| `POST /payments`                            | charges `amount` ("49.90") in `currency` to `card` for `order_id` |
| `POST /payments/{id}/refunds`               | gives back `amount`, by default all of it                         |
| `POST /refunds`                             | gives back what was charged under `payment_key`; if nothing was   |
|                                             | yet, a charge that comes late under that key is refused           |
| `GET /payments/{id}`, `GET /payments?key=K` | the payment, with what was refunded; 404 if there is none         |
| `GET /refunds?key=K`                        | the refund; 404 if there is none                                  |

Each POST needs an `Idempotency-Key`. The first answer under a key is kept, refusals too, and told again to the same
request (with `Idempotent-Replayed: true`); another request under that key gets 422. An `Amends-Epoch` lower than one
seen for the key gets 412: its sender was replaced by a newer one.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from msgspec import Struct

from amends.examples.shop.faults import Fault, Faults
from amends.examples.shop.participant import Options, http_on_loopback, reset, run
from amends.examples.shop.payment_books import Answer, PaymentBooks, cents_of

FAULTS = (
    Fault(mode="refuse", operation="charge", ending="0002", reason="card_declined"),
    Fault(mode="refuse", operation="charge", ending="9995", reason="insufficient_funds"),
    Fault(mode="down", operation="charge", ending="0503", first=1),
    Fault(mode="lost", operation="charge", ending="0500", first=1),
    Fault(mode="reset", operation="charge", ending="0104", first=1),
    Fault(mode="slow", operation="charge", ending="0408", first=1),
    Fault(mode="down", operation="refund", ending="0077"),
)


class Charge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payments`."""

    order_id: str
    card: str
    amount: str
    currency: str


class RefundOfPayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payments/{id}/refunds`."""

    amount: str | None = None


class RefundOfKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /refunds`."""

    payment_key: str


class Change(Struct, frozen=True, kw_only=True):
    """A request that changes something, as read from HTTP: `subject` is the order, `card` what the faults look at."""

    operation: str
    subject: str
    card: str
    key: str
    epoch: int | None
    digest: str


Effect = Callable[[str], Answer]
"""Does what was asked, under the key it is given."""


class PaymentService:
    """HTTP on one side, the books on the other."""

    def __init__(self, books: PaymentBooks, faults: Faults) -> None:
        self._books = books
        self._faults = faults

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 1024)
        application.add_routes(
            [
                web.post("/payments", self.charge),
                web.post("/payments/{payment_id}/refunds", self.refund_payment),
                web.post("/refunds", self.refund_key),
                web.get("/payments", self.find_payment),
                web.get("/payments/{payment_id}", self.read_payment),
                web.get("/refunds", self.find_refund),
                *self._faults.routes(),
            ]
        )
        return application

    async def charge(self, request: web.Request) -> web.StreamResponse:
        try:
            charge = msgspec.json.decode(await request.read(), type=Charge)
            cents = cents_of(charge.amount)
        except (msgspec.MsgspecError, ValueError) as error:
            return _bad_request(error)
        if cents == 0 or not charge.currency.isalpha():
            return _bad_request("amount and currency must be such as '49.90' and 'EUR'")

        def effect(key: str) -> Answer:
            if self._books.buried(key):
                return Answer.error(409, "refunded_before_it_came")
            fields = {"order_id": charge.order_id, "card": charge.card, "currency": charge.currency}
            return Answer.of(201, self._books.charge(key, cents=cents, **fields))

        return await self._change(
            request, charge, effect, operation="charge", subject=charge.order_id, card=charge.card
        )

    async def refund_payment(self, request: web.Request) -> web.StreamResponse:
        payment = self._books.payment(request.match_info["payment_id"])
        if payment is None:
            return _reply(Answer.error(404, "no_such_payment"))
        try:
            asked = msgspec.json.decode(await request.read() or b"{}", type=RefundOfPayment)
            cents = cents_of(asked.amount or payment.amount)
        except (msgspec.MsgspecError, ValueError) as error:
            return _bad_request(error)

        def effect(key: str) -> Answer:
            return self._refund(key, payment.key, cents)

        return await self._change(
            request, asked, effect, operation="refund", subject=payment.order_id, card=payment.card
        )

    async def refund_key(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = msgspec.json.decode(await request.read(), type=RefundOfKey)
        except msgspec.MsgspecError as error:
            return _bad_request(error)

        def effect(key: str) -> Answer:
            return self._refund(key, asked.payment_key, None)

        payment = self._books.payment_by_key(asked.payment_key)
        order_id, card = (payment.order_id, payment.card) if payment else ("", "")
        return await self._change(request, asked, effect, operation="refund", subject=order_id, card=card)

    async def read_payment(self, request: web.Request) -> web.StreamResponse:
        return self._found(self._books.payment(request.match_info["payment_id"]))

    async def find_payment(self, request: web.Request) -> web.StreamResponse:
        return self._found(self._books.payment_by_key(request.query.get("key", "")))

    async def find_refund(self, request: web.Request) -> web.StreamResponse:
        return self._found(self._books.refund_by_key(request.query.get("key", "")))

    def _refund(self, key: str, payment_key: str, cents: int | None) -> Answer:
        payment = self._books.payment_by_key(payment_key)
        if payment is None:
            return Answer.of(201, self._books.bury(key, payment_key))
        refund = self._books.refund(key, payment, cents_of(payment.amount) if cents is None else cents)
        return Answer.error(409, "not_that_much_left_to_refund") if refund is None else Answer.of(201, refund)

    async def _change(
        self, request: web.Request, asked: Struct, effect: Effect, *, operation: str, subject: str, card: str
    ) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return _bad_request("the Idempotency-Key header is missing")
        epoch = request.headers.get("Amends-Epoch", "")
        change = Change(
            operation=operation,
            subject=subject,
            card=card,
            key=key,
            epoch=int(epoch) if epoch.isdecimal() else None,
            digest=hashlib.sha256(request.path.encode() + msgspec.json.encode(asked)).hexdigest(),
        )
        with self._books.transaction():
            fault, answer, replayed = self._decide(change, effect)
        return await _fail_or_reply(request, fault, answer, replayed=replayed)

    def _decide(self, change: Change, effect: Callable[[str], Answer]) -> tuple[Fault | None, Answer, bool]:
        """Note the request and answer it: by the fault it meets, as it was answered before, or by its effect."""
        earlier = self._books.requests_about(change.operation, change.subject)
        fault = self._faults.hit(change.operation, change.card, earlier=earlier)
        stale = change.epoch is not None and change.epoch < self._books.highest_epoch(change.key)
        self._books.note_request(
            change.operation, change.subject, change.key, change.epoch, None if fault is None else fault.mode
        )
        if stale:
            return None, Answer.error(412, "replaced_by_a_newer_sender"), False
        if fault is not None and fault.mode == "down":
            return fault, Answer.error(503, "unavailable"), False
        known = self._books.answer_to(change.key, change.digest)
        if known is not None:
            return fault, known, True
        refused = fault is not None and fault.mode == "refuse"
        answer = Answer.error(402, fault.reason) if fault is not None and refused else effect(change.key)
        self._books.keep_answer(change.key, change.digest, answer)
        return fault, answer, False

    def _found(self, value: Struct | None) -> web.Response:
        return _reply(Answer.error(404, "not_found") if value is None else Answer.of(200, value))


async def _fail_or_reply(request: web.Request, fault: Fault | None, answer: Answer, *, replayed: bool) -> web.Response:
    match fault.mode if fault is not None else None:
        case "lost":
            return _reply(Answer.error(500, "internal_error"))
        case "reset":
            reset(request.transport)
        case "slow" if fault is not None:
            await asyncio.sleep(fault.delay_ms / 1_000)
    return _reply(answer, replayed=replayed)


def _reply(answer: Answer, *, replayed: bool = False) -> web.Response:
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    if answer.status == web.HTTPServiceUnavailable.status_code:
        headers["Retry-After"] = "1"
    return web.Response(body=answer.body, status=answer.status, headers=headers, content_type="application/json")


def _bad_request(error: Exception | str) -> web.Response:
    return _reply(Answer.error(400, str(error)))


@asynccontextmanager
async def open_payments(options: Options) -> AsyncIterator[dict[str, object]]:
    """Open the books and serve them."""
    books = PaymentBooks(options.data / "payments.db")
    try:
        async with http_on_loopback(PaymentService(books, Faults(*FAULTS)).application(), *options.ports) as url:
            yield {"url": url}
    finally:
        books.close()


if __name__ == "__main__":
    raise SystemExit(run("payments", open_payments, ports=["port"]))
