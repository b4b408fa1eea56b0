"""Rule 14: a handler of today serves what was stored with the schemas of another day, or the run waits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from amends import Saga
from amends.coordinator.definition.compatibility import can_read, fields_used, handler_names, may_serve, why_not
from amends.coordinator.definition.form import HandlerSchemas, StoredDefinition
from tests.unit.definition.shop import Charge, Order, orders, shop


class Plain(BaseModel):
    x: int


class WithOptional(BaseModel):
    x: int
    y: str = "none"


class WithRequired(BaseModel):
    x: int
    y: str


class Wider(BaseModel):
    x: int | None


class AsFloat(BaseModel):
    x: float


class AsText(BaseModel):
    x: str


class Less(BaseModel):
    pass


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int


class Nested(BaseModel):
    inner: Plain


class NestedWider(BaseModel):
    inner: Wider


class NestedRequired(BaseModel):
    inner: WithRequired


class Tree(BaseModel):
    value: int
    children: list["Tree"]


class TreeWider(BaseModel):
    value: int | None
    children: list["TreeWider"]


class TreeOther(BaseModel):
    value: str
    children: list["TreeOther"]


class Titled(BaseModel):
    """A docstring is a description."""

    x: int = Field(title="The x", description="Words")


class NamedTitle(BaseModel):
    title: int


class NamedTitleText(BaseModel):
    title: str


@dataclass
class Point:
    x: int


class Two(Enum):
    A = "a"
    B = "b"


class Three(Enum):
    A = "a"
    B = "b"
    C = "c"


Small = Annotated[int, Field(ge=0, le=10)]
Large = Annotated[int, Field(ge=-5, le=100)]
Code = Annotated[str, Field(pattern="^A")]

SAME_OR_WIDER = [
    (int, int),
    (float, int),
    (int | None, int),
    (Optional[str], str),  # noqa: UP045  users write it
    (int | str, int),
    (int | str | None, int | None),
    (Any, int),
    (Any, Plain),
    (object, Plain),
    (Plain, Plain),
    (Plain, Titled),
    (Point, Plain),
    (Plain, Point),
    (Plain, WithRequired),
    (WithOptional, Plain),
    (Wider, Plain),
    (AsFloat, Plain),
    (Less, Plain),
    (Strict, Strict),
    (Plain, Strict),
    (Open, Strict),
    (NestedWider, Nested),
    (Tree, Tree),
    (TreeWider, Tree),
    (list[float], list[int]),
    (Sequence[int], list[int]),
    (list[int], tuple[int, ...]),
    (tuple[float, str], tuple[int, str]),
    (dict[str, float], dict[str, int]),
    (Mapping[str, int], dict[str, int]),
    (dict[str, Any], Plain),
    (Three, Two),
    (str, Two),
    (Literal["a", "b"], Literal["a"]),
    (str, Literal["a"]),
    (Large, Small),
    (int, Small),
    (str, Code),
    (Code, Code),
    (Decimal, Decimal),
    (NamedTitle, NamedTitle),
    (Plain | None, Plain),
]

NOT = [
    (int, float),
    (int, int | None),
    (int, str),
    (str, int),
    (int, Any),
    (Plain, Any),
    (WithRequired, Plain),
    (WithRequired, WithOptional),
    (Plain, Wider),
    (Plain, AsText),
    (Plain, int),
    (Strict, Plain),
    (Strict, WithRequired),
    (WithOptional, Open),
    (NestedRequired, Nested),
    (Tree, TreeWider),
    (Tree, TreeOther),
    (list[int], list[float]),
    (list[int], int),
    (tuple[int, int], tuple[int, int, int]),
    (tuple[int, int], list[int]),
    (dict[str, int], dict[str, str]),
    (dict[str, int], AsText),
    (Two, Three),
    (Two, str),
    (Literal["a"], Literal["a", "b"]),
    (Small, Large),
    (Small, int),
    (Code, str),
    (NamedTitle, NamedTitleText),
    (Plain, Plain | None),
]


def schema(kind: Any) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema()


@pytest.mark.parametrize(("today", "stored"), SAME_OR_WIDER, ids=repr)
def test_the_same_or_a_wider_type_reads_what_was_stored(today: Any, stored: Any) -> None:
    assert can_read(schema(today), schema(stored))


@pytest.mark.parametrize(("today", "stored"), NOT, ids=repr)
def test_a_narrower_another_or_an_undecided_type_does_not(today: Any, stored: Any) -> None:
    assert not can_read(schema(today), schema(stored))


@pytest.mark.parametrize(
    ("today", "stored"),
    [
        ({"type": "object", "patternProperties": {"^a": {}}}, {"type": "object"}),
        ({"not": {"type": "string"}}, {"type": "integer"}),
        ({"type": "string", "if": {}}, {"type": "string"}),
    ],
    ids=repr,
)
def test_keywords_that_are_not_understood_count_as_no_unless_they_are_the_same(
    today: dict[str, Any], stored: dict[str, Any]
) -> None:
    assert not can_read(today, stored)
    assert can_read(today, today)


def raw(kind: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(schema(kind)).encode())


def handler(result: Any = None, **parameters: Any) -> HandlerSchemas:
    return HandlerSchemas(parameters={name: raw(kind) for name, kind in parameters.items()}, result=raw(result))


@pytest.mark.parametrize(
    ("today", "stored", "expected"),
    [
        pytest.param(handler(x=int), handler(x=int), True, id="the same"),
        pytest.param(handler(), handler(x=int), True, id="a parameter less"),
        pytest.param(handler(x=int, y=int), handler(x=int), False, id="a parameter more"),
        pytest.param(handler(x=WithRequired), handler(x=Plain), False, id="a required field more"),
        pytest.param(handler(x=WithOptional), handler(x=Plain), True, id="an optional field more"),
        pytest.param(
            handler(result=WithRequired), handler(result=Plain), False, id="a result with a required field more"
        ),
        pytest.param(handler(result=Wider), handler(result=Plain), True, id="a wider result"),
        pytest.param(handler(result=AsText), handler(result=Plain), False, id="another result"),
    ],
)
def test_a_handler_may_serve_if_it_reads_what_was_stored(
    today: HandlerSchemas, stored: HandlerSchemas, *, expected: bool
) -> None:
    assert may_serve(stored, today) is expected


def test_a_definition_names_every_handler_it_needs() -> None:
    closed = shop().close()
    assert set(handler_names(closed.form)) == set(closed.handlers)


def unservable(stored: StoredDefinition, today: Mapping[str, HandlerSchemas]) -> dict[str, str]:
    """Which handlers of a stored definition nobody here can stand in for, and why."""
    used = fields_used(stored.form)
    found = {
        name: why_not(stored.schemas.get(name), today.get(name), used.get(name, ()))
        for name in handler_names(stored.form)
    }
    return {name: why for name, why in found.items() if why is not None}


def test_todays_own_handlers_serve_the_definition_they_belong_to() -> None:
    closed = shop().close()
    assert unservable(closed.stored, closed.stored.schemas) == {}


def test_missing_and_changed_handlers_are_named_with_the_reason() -> None:
    stored = shop().close().stored
    today = dict(stored.schemas)
    del today["charge.undo"]
    today["charge.verify"] = handler(result=bool, charge_id=int)
    today["mail"] = handler(order_id=str, subject=str)
    assert unservable(stored, today) == {
        "charge.undo": "there is no handler of this name",
        "charge.verify": "its parameter 'charge_id' cannot be read from what was stored",
        "mail": "its parameter 'subject' is new",
    }


class ChargeWithoutId(BaseModel):
    line: dict[str, Any] = {}


def test_a_result_without_a_field_that_the_stored_definition_refers_to_does_not_serve() -> None:
    stored = shop().close().stored
    today = {**stored.schemas, "charge": handler(result=ChargeWithoutId, trigger=Order)}
    assert unservable(stored, today) == {"charge": "its result has no 'id', which the definition refers to"}


def test_a_new_default_in_a_result_keeps_it_serving() -> None:
    class More(Charge):
        note: str = ""

    def saga(kind: type[Charge]) -> Saga[Order]:
        made = Saga("more", trigger=orders())

        def step(trigger: Order) -> Any: ...

        step.__annotations__["return"] = kind
        made.read(step)
        return made

    assert unservable(saga(Charge).close().stored, saga(More).close().stored.schemas) == {}
