"""What a saga expects once everything is done: its place in the graph, and its rules."""

from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.core.plan import plan_of
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.form import StepForm, graph_hash


class Line(BaseModel):
    sku: str


class Order(BaseModel):
    id: str
    lines: list[Line] = []


def saga(name: str = "shop", **options: Any) -> Saga[Order]:
    return Saga(name, trigger=Topic("orders", Order, idempotency_key="id"), **options)


def steps(shop: Saga[Any]) -> dict[str, StepForm]:
    return {step.path: step for step in shop.close().form.steps}


def yes(ctx: Context) -> bool:
    return True


def test_it_comes_after_everything_else_the_result_too() -> None:
    shop = saga()

    @shop.expect(name="first")
    def declared_first(trigger: Order) -> bool:
        return True

    @shop.read
    def one(trigger: Order) -> int:
        return 1

    @shop.read
    def two(trigger: Order) -> int:
        return 2

    @shop.result
    def outcome(one: int = one.result) -> int:
        return one

    assert list(steps(shop)) == ["one", "two", "outcome", "first"]
    assert (steps(shop)["first"].kind, steps(shop)["first"].after) == ("expect", ("outcome",))


def test_the_result_of_a_run_is_not_what_is_expected_of_it() -> None:
    shop = saga()

    @shop.read
    def one(trigger: Order) -> int:
        return 1

    shop.expect(yes)
    assert plan_of(shop.close().form).result == "one"


def test_a_saga_that_expects_nothing_keeps_its_hash() -> None:
    def made(*, expects: bool) -> str:
        shop = saga()

        @shop.read
        def one(trigger: Order) -> int:
            return 1

        if expects:
            shop.expect(yes)
        return graph_hash(shop.close().form)

    assert made(expects=False) == made(expects=False) != made(expects=True)


def test_a_called_saga_brings_along_what_it_expects() -> None:
    inner = saga("inner")

    @inner.read
    def one(trigger: Order) -> int:
        return 1

    @inner.expect
    def is_one(one: int = one.result) -> bool:
        return one == 1

    shop = saga()
    called = shop.call("part", inner, trigger=shop.trigger, returns=one)

    @shop.read
    def last(trigger: Order, one: int = called.result) -> int:
        return one

    found = steps(shop)
    assert list(found) == ["part/one", "last", "part/is_one"]
    assert found["part/is_one"].after == ("last",)
    assert found["last"].after == ("part/one",)
    assert found["part/is_one"].handler.arguments["one"].step == "part/one"


def test_a_repeated_saga_does_not_and_check_says_so() -> None:
    inner = Saga("inner", trigger=Line)

    @inner.read
    def one(trigger: Line) -> int:
        return 1

    inner.expect(yes)
    shop = saga()
    shop.for_each("parts", inner, shop.trigger.lines, key="sku", returns=one)
    assert [(each.code, each.severity) for each in shop.check()] == [("AM1111", "warning")]
    assert [step.kind for step in shop.close().form.every_step()] == ["for_each", "read"]


def test_it_answers_bool() -> None:
    shop = saga()

    @shop.read
    def one(trigger: Order) -> int:
        return 1

    def maybe(ctx: Context) -> int:
        return 1

    shop.expect(maybe)  # type: ignore[type-var]  # it is wrong
    (found,) = shop.check()
    assert (found.code, found.message) == ("AM1041", "maybe() says what is expected and returns int")


def test_a_saga_of_expectations_alone_has_no_steps() -> None:
    shop = saga()
    shop.expect(yes)
    assert [each.code for each in shop.check()] == ["AM1004"]


def test_nothing_waits_for_it() -> None:
    shop = saga()
    shop.expect(yes)

    @shop.read(after="yes")
    def one(trigger: Order) -> int:
        return 1

    assert "AM1022" in [each.code for each in shop.check()]


@pytest.mark.parametrize("option", ["after", "when", "pivot"])
def test_it_has_no_options_of_steps(option: str) -> None:
    with pytest.raises(DefinitionError, match=f"expect has no option '{option}'"):
        saga().expect(**{option: "one"})(yes)  # type: ignore[call-overload]  # it is wrong
