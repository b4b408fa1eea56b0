"""Handlers bind stored JSON, validated once, and write only what reads back equal."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, Field

from amends import Context, Saga, Topic
from amends.coordinator.definition.handler import ArgumentUnreadable, Handler, InvalidResult, field_of_json
from amends.coordinator.definition.trigger import TriggerInvalid
from tests.unit.definition.shop import Charge, Line, Order, orders, shop

CONTEXT = Context(
    saga_id="00000000-0000-5000-8000-000000000000",
    saga="shop",
    namespace="default",
    business_key="A-1",
    step="charge",
    attempt=1,
    idempotency_key="key",
    deadline=datetime(2026, 11, 21, tzinfo=UTC),
    epoch=1,
)


def handlers() -> dict[str, Handler]:
    return shop().close().handlers


def test_a_handler_is_registered_under_its_steps_name_and_its_role() -> None:
    assert set(handlers()) == {
        "assess",
        "charge",
        "charge.verify",
        "charge.lookup",
        "charge.undo",
        "charge.undo.verify",
        "mail",
        "receipt",
    }


async def test_a_bound_handler_runs_with_what_was_stored() -> None:
    charge = handlers()["charge"]
    bound = charge.bind({"trigger": b'{"request_id":"R","order_id":"A-1","amount":"2.50"}'}, CONTEXT)
    assert bound == {"ctx": CONTEXT, "trigger": Order(request_id="R", order_id="A-1", amount=Decimal("2.50"))}
    assert charge.is_async
    assert charge.dependency_name == "payments"
    result = await charge.function(**bound)
    assert charge.write(result) == b'{"id":"key","takenAmount":"2.50","line":{"sku":"none","count":1}}'


def test_a_result_that_is_not_known_is_bound_as_none() -> None:
    assert handlers()["charge.undo"].bind({"charged": None}, CONTEXT) == {"ctx": CONTEXT, "charged": None}


def test_values_without_a_parameter_are_left_out_and_those_without_a_value_read_as_null() -> None:
    handler = handlers()["charge.verify"]
    assert handler.bind({"charge_id": b'"x"', "gone": b"1"}, CONTEXT) == {"charge_id": "x"}
    with pytest.raises(
        ArgumentUnreadable, match=r"parameter 'charge_id' of 'charge\.verify': Input should be a valid string"
    ):
        handler.bind({}, CONTEXT)


def test_an_unreadable_value_is_told_by_its_path_and_never_quoted() -> None:
    with pytest.raises(ArgumentUnreadable, match=r"'trigger' of 'assess': request_id: Field required") as caught:
        handlers()["assess"].bind({"trigger": b'{"order_id":"hunter2"}'}, CONTEXT)
    assert "hunter2" not in str(caught.value)


def test_an_undos_result_is_not_used() -> None:
    assert handlers()["charge.undo"].write(object()) == b"null"


@pytest.mark.parametrize(
    ("data", "field", "found"),
    [
        (b'{"a":{"b": 1.50}}', "a.b", b"1.50"),
        (b'{"a":{"b": 1.50}}', "a", b'{"b": 1.50}'),
        (b'{"a":{"b": 1.50}}', "", b'{"a":{"b": 1.50}}'),
        (b'{"a":null}', "a", b"null"),
        (b'{"a":null}', "a.b", None),
        (b'{"a":1}', "b", None),
        (b"[1]", "a", None),
    ],
)
def test_a_field_is_taken_out_of_the_json_text_as_it_stands(data: bytes, field: str, found: bytes | None) -> None:
    assert field_of_json(data, field) == found


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float


class Renamed(BaseModel):
    order_id: str = Field(alias="orderId")


class OneWay(BaseModel):
    amount: int = Field(validation_alias="in", serialization_alias="out")


class Forgetful(BaseModel):
    kept: int
    dropped: int = Field(default=0, exclude=True)


def returning(kind: Any) -> Handler:
    saga = Saga("returning", trigger=orders())

    def step(trigger: Order) -> Any: ...

    step.__annotations__["return"] = kind
    saga.read(step)
    return saga.close().handlers["step"]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (None, None, b"null"),
        (int, 5, b"5"),
        (str, "ü", '"ü"'.encode()),
        (Decimal, Decimal("1.10"), b'"1.10"'),
        (float, 0.1, b"0.1"),
        (Color, Color.RED, b'"red"'),
        (list[Line], [Line(sku="a")], b'[{"sku":"a","count":1}]'),
        (dict[str, int], {"a": 1}, b'{"a":1}'),
        (tuple[int, str], (1, "a"), b'[1,"a"]'),
        (Point, Point(1, 2.5), b'{"x":1,"y":2.5}'),
        (Renamed, Renamed(orderId="A"), b'{"orderId":"A"}'),
        (Charge | None, None, b"null"),
        (datetime, datetime(2026, 11, 21, 12, tzinfo=UTC), b'"2026-11-21T12:00:00Z"'),
        (Any, {"a": [1, None]}, b'{"a":[1,null]}'),
    ],
)
def test_results_that_read_back_equal_are_written(kind: Any, value: object, text: bytes) -> None:
    assert returning(kind).write(value) == text


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        pytest.param(int, "5", "returned a str, which is not what it declares", id="another type"),
        pytest.param(None, 5, "not what it declares", id="something instead of nothing"),
        pytest.param(Charge, {"id": "x"}, "not what it declares", id="a dict instead of a model"),
        pytest.param(list[int], (1, 2), "not what it declares", id="a tuple instead of a list"),
        pytest.param(float, math.nan, "does not read back", id="not a number"),
        pytest.param(float, math.inf, "does not read back", id="infinity"),
        pytest.param(str, "\ud800", "cannot be written|not what it declares", id="a lone surrogate"),
        pytest.param(bytes, b"\xff", "cannot be written|not what it declares", id="bytes that are no text"),
        pytest.param(OneWay, OneWay.model_validate({"in": 1}), "does not read back", id="written under another name"),
        pytest.param(Forgetful, Forgetful(kept=1, dropped=2), "does not read back equal", id="a field left out"),
        pytest.param(Any, object(), "not what it declares|cannot be written", id="any object"),
        pytest.param(Any, (1, 2), "does not read back equal", id="a tuple of any"),
    ],
)
def test_anything_else_is_an_invalid_result(kind: Any, value: object, why: str) -> None:
    with pytest.raises(InvalidResult, match=why):
        returning(kind).write(value)


def test_a_result_that_holds_itself_is_invalid() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidResult):
        returning(Any).write(circle)


def test_an_invalid_result_does_not_quote_the_value() -> None:
    with pytest.raises(InvalidResult) as caught:
        returning(int).write("hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_trigger_is_read_with_the_models_defaults() -> None:
    read = shop().close().trigger.read
    assert read(b'{"request_id":"R","order_id":"A","more":1}') == (
        b'{"request_id":"R","order_id":"A","currency":"EUR","amount":"1.00","lines":[]}'
    )


def test_a_trigger_that_does_not_read_back_equal_stays_as_it_was_sent() -> None:
    saga = Saga("one-way", trigger=Topic("orders", OneWay))
    saga.read(_nothing)
    assert saga.close().trigger.read(b'{"in":1}') == b'{"in":1}'


def _nothing(ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("data", "path", "detail"),
    [
        (b'{"request_id":"R"}', "order_id", "Field required"),
        (b'{"request_id":1,"order_id":"A"}', "request_id", "Input should be a valid string"),
        (b'{"request_id":"R","order_id":"A","lines":[{"sku":1}]}', "lines.0.sku", "Input should be a valid string"),
        (b"[]", "", "Input should be an object"),
    ],
)
def test_a_trigger_that_does_not_fit_is_told_by_its_path(data: bytes, path: str, detail: str) -> None:
    with pytest.raises(TriggerInvalid) as caught:
        shop().close().trigger.read(data)
    assert (caught.value.path, caught.value.detail) == (path, detail)
