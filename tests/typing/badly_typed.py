"""Mistakes that mypy strict and pyright strict both find. An error that is expected and does not come is an error."""

from pydantic import BaseModel

from amends import Context, Saga, Topic


class Order(BaseModel):
    order_id: str
    amount: int


class Charge(BaseModel):
    id: str


class Parcel(BaseModel):
    number: int


shop = Saga("shop", trigger=Topic("orders", Order, idempotency_key="order_id"))


@shop.action
async def charge(ctx: Context, trigger: Order) -> Charge:
    return Charge(id="ch_1")


@charge.undo(verify="reply")
async def give_back(ctx: Context, charged: Charge = charge.maybe) -> None: ...  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]  # wrong: may be None


@shop.action(after=charge)
async def ship(
    ctx: Context,
    charged: Parcel = charge.result,  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]  # wrong: another step's type
    charge_id: str = charge.result.number,  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # wrong: no such field
    order_id: int = shop.trigger.order_id,  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]  # wrong: text, not a number
) -> Parcel:
    return Parcel(number=1)


@ship.verify  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]  # wrong: a read-back answers bool
async def is_shipped(ctx: Context) -> str:
    return "yes"


@ship.lookup  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType, reportUntypedFunctionDecorator]  # wrong: a lookup answers with the step's result
async def find_parcel(ctx: Context) -> Charge | None:
    return None


@ship.undo(verify="believe me")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]  # wrong: only "reply"
async def recall(ctx: Context) -> None: ...


@shop.action(timout="5s")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]  # wrong: no such option
async def mail(ctx: Context) -> None: ...


@shop.read
def no_undo_for_reads(trigger: Order) -> int:
    return 1


@no_undo_for_reads.undo  # type: ignore[attr-defined, untyped-decorator]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUntypedFunctionDecorator]  # wrong: a read has no undo
async def nothing(ctx: Context) -> None: ...


@shop.expect  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]  # wrong: what is expected holds, or does not
def is_shipped_at_all(ctx: Context) -> str:
    return "yes"


shop.call("other", shop, trigger=no_undo_for_reads.result)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]  # wrong: it is called with an order


shop.wait("paid", Charge, correlation=shop.trigger)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]  # wrong: an order is no key, and there is no timeout


async def call_with_values(ctx: Context, trigger: Order) -> None:
    await charge(ctx)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # wrong: the trigger is missing
    parcel: Charge = await ship(ctx)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # wrong: it returns a parcel
    print(parcel)
