"""A payment over HTTP, a mail, and a shipment that may be refused: participants stood in for by servers."""

from typing import Any

from pydantic import BaseModel

from amends import Context, Http, Saga, Smtp, Topic
from amends.testing import Asked, AskedAmiss, HttpStandIn, Sandbox, SmtpStandIn

payments = Http(
    "payments",
    base_url="https://payments.example.com",
    headers={"Authorization": "Bearer ${env:PAYMENTS_TOKEN}"},
    idempotency_header="Idempotency-Key",
    tombstones=True,
)
carrier = Http("carrier", base_url="https://carrier.example.com", idempotency_header="Idempotency-Key", definite={422})
mail = Smtp("mail", host="smtp.example.com", sender="The Shop <orders@shop.example>", idempotent=True)


class Order(BaseModel):
    request_id: str
    cents: int
    country: str = "de"


class Charge(BaseModel):
    id: str


order = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"))


@order.action(dependency=payments)
async def charge(trigger: Order) -> Charge:
    return await payments.post("/charges", json={"cents": trigger.cents}, returns=Charge)


@charge.undo
async def give_back(ctx: Context) -> None:
    assert ctx.undoing is not None
    await payments.post("/refunds", json={"charge": ctx.undoing.idempotency_key})


@give_back.verify
async def is_given_back(ctx: Context) -> bool:
    assert ctx.undoing is not None
    found = await payments.get(f"/charges/{ctx.undoing.idempotency_key}", returns=dict[str, Any], missing=None)
    return found is None


@order.action(dependency=mail, irreversible=True, after=charge)
async def notify(trigger: Order) -> None:
    await mail.send(to="ann@home.example", subject=f"Order {trigger.request_id}", text="It is on its way.")


@notify.follow_up(verify="reply")
async def apologize(trigger: Order) -> None:
    await mail.send(to="ann@home.example", subject=f"Order {trigger.request_id}", text="It is not, we are sorry.")


@order.action(dependency=carrier, after=notify)
async def ship(trigger: Order) -> None:
    await carrier.post("/parcels", json={"order": trigger.request_id, "country": trigger.country})


@ship.undo(verify="reply")
async def unship(trigger: Order) -> None:
    await carrier.delete(f"/parcels/{trigger.request_id}", missing=None)


payments_here = HttpStandIn(payments, world={"charges": {}})
carrier_here = HttpStandIn(carrier, world={"parcels": {"R-0": "fr"}})


@payments_here.on("POST", "/charges")
def _charge(asked: Asked) -> dict[str, object]:
    asked.world["charges"][asked.key] = asked.json["cents"]
    return {"id": asked.key}


@payments_here.on("POST", "/refunds")
def _refund(asked: Asked) -> None:
    asked.world["charges"].pop(asked.json["charge"], None)


@payments_here.on("GET", "/charges/{id}")
def _find(asked: Asked) -> dict[str, object]:
    if asked.params["id"] not in asked.world["charges"]:
        raise AskedAmiss(404, "no_such_charge")
    return {"cents": asked.world["charges"][asked.params["id"]]}


@carrier_here.on("POST", "/parcels")
def _parcel(asked: Asked) -> None:
    if asked.json["country"] == "atlantis":
        raise AskedAmiss(422, "unknown_country")
    asked.world["parcels"][asked.json["order"]] = asked.json["country"]


@carrier_here.on("DELETE", "/parcels/{id}")
def _unparcel(asked: Asked) -> None:
    asked.world["parcels"].pop(asked.params["id"], None)


sandbox = Sandbox(
    order,
    triggers=[Order(request_id="R-1", cents=100), Order(request_id="R-2", cents=200, country="atlantis")],
    stand_ins=[payments_here, carrier_here, SmtpStandIn(mail)],
)
