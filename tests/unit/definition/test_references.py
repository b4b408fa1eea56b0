"""References stand for values while a saga is declared, and refuse to be anything else."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, computed_field
from typing_extensions import TypedDict

from amends import Context, Saga, Topic, negate
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.references import Condition, Reference


class Inner(BaseModel):
    amount: int
    open: bool

    @computed_field
    def double(self) -> int:
        return 2 * self.amount

    @property
    def secret(self) -> int:
        return 0


class Counts(TypedDict):
    boxes: int


class Answer(BaseModel):
    verdict: str
    inner: Inner | None
    counts: Counts


class Order(BaseModel):
    order_id: str


saga = Saga("references", trigger=Topic("orders", Order))


@saga.read
def assess(trigger: Order) -> Answer:
    raise NotImplementedError


@saga.read
def later(trigger: Order) -> "DeclaredBelow":  # type: ignore[name-defined]  # noqa: F821
    raise NotImplementedError


result: Any = assess.result


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda: bool(result), id="bool"),
        pytest.param(lambda: bool(result.verdict == "x"), id="bool of a condition"),
        pytest.param(lambda: result.inner.amount > 1 and result.inner.amount < 3, id="and"),
        pytest.param(lambda: 1 < result.inner.amount < 3, id="chain"),
        pytest.param(lambda: not result.verdict, id="not"),
        pytest.param(lambda: result.verdict in ("a", "b"), id="in a tuple"),
        pytest.param(lambda: "a" in result.verdict, id="in the value"),
        pytest.param(lambda: result(), id="call"),  # noqa: PLW0108
        pytest.param(lambda: result.verdict.upper(), id="method"),  # noqa: PLW0108
        pytest.param(lambda: (result.verdict == "x")(), id="call of a condition"),  # noqa: PLW0108
        pytest.param(lambda: list(result.counts), id="iteration"),
        pytest.param(lambda: result[0], id="index"),
        pytest.param(lambda: setattr(result, "verdict", "x"), id="assignment"),
        pytest.param(lambda: ~result.inner.open, id="invert"),
    ],
)
def test_a_reference_used_as_a_value_raises(use: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError) as caught:
        use()
    assert caught.value.code in {"AM1037", "AM1030"}
    assert "test_references.py:" in str(caught.value)


@pytest.mark.parametrize("name", ["__wrapped__", "_private", "__len__", "__await__"])
def test_names_that_begin_with_an_underscore_are_plain_attribute_errors(name: str) -> None:
    assert not hasattr(result, name)


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        (lambda: result.verdct, "did you mean 'verdict'?"),
        (lambda: result.inner.amout, "did you mean 'amount'?"),
        (lambda: result.inner.secret, "there is 'amount', 'double', 'open'"),
        (lambda: result.counts["bxoes"], "did you mean 'boxes'?"),
        (
            lambda: saga.trigger.orderid,  # type: ignore[attr-defined]
            "did you mean 'order_id'?",
        ),
        (lambda: result.verdict.length, "take the whole value"),
    ],
    ids=["of a result", "below it", "a property", "of a typed dict", "of the trigger", "of text"],
)
def test_an_unknown_field_raises_with_the_nearest_name(use: Callable[[], object], hint: str) -> None:
    with pytest.raises(DefinitionError, match=r"has no field") as caught:
        use()
    assert hint in str(caught.value)
    assert caught.value.code == "AM1030"


@pytest.mark.parametrize(
    "reference",
    [
        result.verdict,
        result.inner.amount,
        result.inner.double,
        result.counts["boxes"],
        assess.maybe,
        saga.trigger.order_id,
    ],
)
def test_fields_of_references_are_references(reference: object) -> None:
    assert isinstance(reference, Reference)


def test_a_field_of_a_type_that_does_not_resolve_yet_is_checked_when_the_saga_closes() -> None:
    reference: Any = later.result
    assert isinstance(reference.anything, Reference)


@pytest.mark.parametrize(
    "condition",
    [
        result.verdict == "x",
        result.verdict != "x",
        result.inner.amount < 1,
        result.inner.amount >= 1,
        (result.verdict == "x") & (result.inner.amount > 1),
        (result.verdict == "x") | result.inner.open,
        result.inner.open & result.inner.open,
        negate(result.inner.open),
        result.verdict.one_of("a", "b"),
    ],
)
def test_comparisons_make_conditions(condition: object) -> None:
    assert isinstance(condition, Condition)


def test_a_handler_is_a_plain_function_to_those_who_call_it_with_values() -> None:
    local = Saga("plain", trigger=Topic("orders", Order))

    @local.read
    def first(trigger: Order) -> int:
        """Says one."""
        return len(trigger.order_id)

    @local.read
    def second(ctx: Context | None, number: int = first.result, step: int = 2) -> int:
        return number + step

    assert first(Order(order_id="A-1")) == 3
    assert second(None, 5) == 7
    assert second(None, number=5, step=1) == 6
    assert first.__name__ == "first"  # type: ignore[attr-defined]
    assert first.__doc__ == "Says one."


def test_a_reference_left_in_a_direct_call_raises_with_the_parameter_and_the_callers_line() -> None:
    local = Saga("left", trigger=Topic("orders", Order))

    @local.read
    def first(trigger: Order) -> int:
        return 1

    @local.read
    def second(number: int = first.result) -> int:
        return number

    with pytest.raises(DefinitionError, match=r"second\(\) was called with .*first\.result.* for 'number'") as caught:
        second()
    assert caught.value.code == "AM1037"
    assert caught.value.findings[0].file == "tests/unit/definition/test_references.py"
