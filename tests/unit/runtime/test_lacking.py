"""Why an APP cannot serve runs of a stored graph: what is told is what the catalogue decides."""

from collections.abc import Callable

import pytest

from amends import Context, Saga
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.form import graph_hash, read_stored
from amends.coordinator.ports.rows import DefinitionRow
from amends.coordinator.runtime.catalogue import Catalogue
from amends.coordinator.runtime.lacking import Lacking
from amends.schemas.canonical import encode
from tests.unit.definition.shop import Order, orders

Body = Callable[[Saga[Order]], None]


def full(saga: Saga[Order]) -> None:
    @saga.action(idempotent=True)
    def charge(ctx: Context, trigger: Order) -> str:
        return "paid"

    @charge.undo(verify="reply")
    def refund(ctx: Context, charged: str | None = charge.maybe) -> None: ...


def other_result(saga: Saga[Order]) -> None:
    @saga.action(idempotent=True)
    def charge(ctx: Context, trigger: Order) -> int:
        return 1

    @charge.undo(verify="reply")
    def refund(ctx: Context, charged: int | None = charge.maybe) -> None: ...


def renamed(saga: Saga[Order]) -> None:
    @saga.action(idempotent=True, irreversible=True)
    def pay(ctx: Context, trigger: Order) -> str:
        return "paid"


def more_taken(saga: Saga[Order]) -> None:
    @saga.action(idempotent=True)
    def charge(ctx: Context, trigger: Order, currency: str = saga.trigger.currency) -> str:
        return "paid"

    @charge.undo(verify="reply")
    def refund(ctx: Context, charged: str | None = charge.maybe) -> None: ...


def made(body: Body, *, name: str = "shop", version: int = 1) -> ClosedSaga:
    saga = Saga(name, version=version, trigger=orders())
    body(saga)
    return saga.close()


STORED = made(full)
GONE = "there is no handler of this name"


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        pytest.param([made(full)], {}, id="the same"),
        pytest.param([made(renamed, version=2)], {"charge": GONE, "charge.undo": GONE}, id="another name"),
        pytest.param([made(renamed, version=3), made(full, version=2)], {}, id="an older version has them"),
        pytest.param(
            [made(other_result, version=2)],
            {
                "charge": "its result has another type",
                "charge.undo": "its parameter 'charged' cannot be read from what was stored",
            },
            id="another type",
        ),
        pytest.param(
            [made(more_taken, version=2)], {"charge": "its parameter 'currency' is new"}, id="a parameter more"
        ),
        pytest.param(
            [made(full, name="other")],
            dict.fromkeys(("charge", "charge.undo"), "APP has no saga 'shop'"),
            id="another saga",
        ),
    ],
)
def test_what_an_app_lacks_for_a_stored_graph(today: list[ClosedSaga], expected: dict[str, str]) -> None:
    digest = graph_hash(STORED.form)
    row = DefinitionRow(hash=digest, name="shop", version=1, body=encode(STORED.stored), stored_at=1)
    rows = {digest: row}
    lacking = Lacking(sagas=tuple(today), stored=lambda each: read_stored(rows[each].body), stored_rows=rows.get)
    assert lacking.of(digest) == expected
    known = Catalogue(sagas=tuple(today), stored=rows.get).by_hash(digest)
    assert known is not None
    assert known.plan.missing == expected.keys()


def test_a_graph_that_nobody_has_lacks_everything() -> None:
    lacking = Lacking(sagas=(STORED,), stored=lambda _: None, stored_rows=lambda _: None)
    assert lacking.of("0" * 64) == {"its whole definition": "neither APP nor the store has it"}
