"""Waits in definitions: their form, what they may refer to, and the rules that hold for every front end."""

import inspect
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.form import Argument, HandlerForm, StepForm, WaitForm, graph_hash
from amends.coordinator.definition.rules.graph import faults
from tests.unit.definition.test_rules import SURE, form, handler, undo


class Order(BaseModel):
    id: str
    item: str
    number: int
    weight: float
    code: UUID
    either: str | int
    maybe: str | int | None
    ship_at: datetime
    ship_text: str


class Arrival(BaseModel):
    pallets: int


def saga(**options: Any) -> Saga[Order]:
    return Saga("shop", trigger=Topic("orders", Order, idempotency_key="id", business_key="item"), **options)


def codes(shop: Saga[Any]) -> list[str]:
    return [each.code for each in shop.check() if each.severity == "error"]


def test_a_wait_for_a_message_is_data() -> None:
    shop = saga()
    shop.wait("goods", Arrival, correlation=shop.trigger.item, timeout="30m", on_timeout="park", type="goods.arrived")
    (step,) = shop.close().form.steps
    assert step == StepForm(
        path="goods",
        kind="wait",
        handler=HandlerForm(
            name="goods",
            arguments={"correlation": Argument(source="trigger", field="item")},
            timeout_ms=1_800_000,
        ),
        after=(),
        wait=WaitForm(awaits="message", message_type="goods.arrived", on_timeout="park"),
    )


def test_a_wait_comes_after_the_step_whose_result_is_its_key() -> None:
    shop = saga()

    @shop.read
    def look(ctx: Context) -> Arrival:
        return Arrival(pallets=1)

    shop.wait("goods", Arrival, correlation=look.result.pallets, timeout="30m")
    step = shop.close().form.step("goods")
    assert (step.after, step.handler.arguments["correlation"].field) == (("look",), "pallets")


def test_a_definition_without_waits_has_the_hash_it_had_before_there_were_any() -> None:
    plain = form(StepForm(path="a", kind="read", handler=handler("a"), after=()))
    waiting = msgspec.structs.replace(
        plain, steps=(msgspec.structs.replace(plain.steps[0], kind="wait", wait=WaitForm(awaits="pause")),)
    )
    assert graph_hash(plain) == "a9a92f7025cd52302e0e4d900a9ce91c99d8431f445ef62494b3d7369ebde5d1"
    assert graph_hash(waiting) != graph_hash(plain)


@pytest.mark.parametrize("field", ["item", "number", "code", "either"])
def test_a_key_is_text_an_integer_or_what_is_written_as_text(field: str) -> None:
    shop = saga()
    shop.wait("goods", Arrival, correlation=getattr(shop.trigger, field), timeout="30m")
    assert codes(shop) == []


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb"])
def test_what_no_message_can_have_is_no_type(name: str) -> None:
    shop = saga()
    with pytest.raises(DefinitionError, match="no name of a type"):
        shop.wait("goods", Arrival, correlation=shop.trigger.item, timeout="30m", type=name)


@pytest.mark.parametrize("field", ["weight", "maybe"])
def test_anything_else_is_no_key(field: str) -> None:
    shop = saga()
    shop.wait("goods", Arrival, correlation=getattr(shop.trigger, field), timeout="30m")
    assert codes(shop) == ["AM1095"]


def test_a_plain_value_is_no_key_and_no_instant() -> None:
    shop = saga()
    shop.wait("goods", Arrival, correlation="A-12", timeout="30m")
    shop.wait_until("ship", "2026-01-01T00:00:00Z")
    assert codes(shop) == ["AM1095", "AM1095"]


@pytest.mark.parametrize(
    ("field", "expected"), [("ship_at", []), ("ship_text", []), ("number", ["AM1095"]), ("code", ["AM1095"])]
)
def test_an_instant_is_a_time_or_text_that_may_be_one(field: str, expected: list[str]) -> None:
    shop = saga()
    shop.wait_until("ship", getattr(shop.trigger, field))
    assert codes(shop) == expected


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param({}, "AM1098", id="no timeout"),
        pytest.param({"timeout": None}, "AM1098", id="none at all"),
        pytest.param({"timeout": 0}, "AM1006", id="no time"),
        pytest.param({"timeout": "1h", "on_timeout": "explode"}, "AM1006", id="another consequence"),
        pytest.param({"timeout": "1h", "type": ""}, "AM1006", id="a type without a name"),
        pytest.param({"timeout": "1h", "retry": 3}, "AM1006", id="retries"),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_written(options: dict[str, Any], code: str) -> None:
    shop = saga()
    with pytest.raises(DefinitionError) as refused:
        shop.wait("goods", Arrival, correlation=shop.trigger.item, **options)
    assert refused.value.findings[0].code == code
    assert (refused.value.findings[0].file or "").endswith("test_waits.py")


@pytest.mark.parametrize("name", ["undo", "follow_up", "verify", "lookup"])
def test_a_wait_has_nothing_to_undo_or_to_look_up(name: str) -> None:
    shop = saga()
    goods = shop.wait("goods", Arrival, correlation=shop.trigger.item, timeout="30m")
    with pytest.raises(DefinitionError) as refused:
        getattr(goods, name)
    assert refused.value.findings[0].code == "AM1096"
    assert not hasattr(goods, "anything_else")


def test_a_wait_cannot_be_called() -> None:
    shop = saga()
    goods = shop.wait("goods", Arrival, correlation=shop.trigger.item, timeout="30m")
    with pytest.raises(DefinitionError, match="waits and cannot be called"):
        goods()


def test_what_stands_in_the_place_of_a_function_is_found_where_the_wait_was_written() -> None:
    shop = saga()
    shop.wait("goods", Arrival, correlation=shop.trigger.item, timeout="30m")
    assert inspect.getfile(shop.close().handlers["goods"].function) == __file__


def wait(*after: str, path: str = "w", timeout_ms: int = 500, **options: Any) -> StepForm:
    awaited = HandlerForm(name=path, arguments={}, timeout_ms=timeout_ms)
    return StepForm(path=path, kind="wait", after=after, handler=awaited, wait=WaitForm(awaits="pause"), **options)


PIVOT = StepForm(path="p", kind="action", handler=handler("p"), after=(), pivot=True, certainty=SURE)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param((wait(),), [], id="a wait"),
        pytest.param((wait(undo=undo("w")),), ["AM1096"], id="an undo"),
        pytest.param((wait(verify=handler("w.verify")),), ["AM1096"], id="a read-back"),
        pytest.param((wait(lookup=handler("w.lookup")),), ["AM1096"], id="a lookup"),
        pytest.param((wait(irreversible=True),), ["AM1096"], id="irreversible"),
        pytest.param((wait(timeout_ms=1_000),), ["AM1097"], id="as long as the deadline"),
        pytest.param((PIVOT, wait("p", timeout_ms=9_000)), [], id="longer than the deadline, behind the pivot"),
    ],
)
def test_the_rules_hold_whatever_made_the_form(steps: tuple[StepForm, ...], expected: list[str]) -> None:
    assert [each.code for each in faults(form(*steps))] == expected


def test_the_result_of_a_wait_that_may_be_skipped_is_taken_as_maybe() -> None:
    shop = saga()
    goods = shop.wait("goods", Arrival, correlation=shop.trigger.item, timeout="30m", on_timeout="skip")

    @shop.result
    def outcome(arrival: Arrival = goods.result) -> int:
        return arrival.pallets

    assert codes(shop) == ["AM1039"]
