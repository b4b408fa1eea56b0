"""Avro schemas of models: what a writer writes with them, the model reads back equal."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, NaiveDatetime, TypeAdapter

from amends.schemas import plain_json
from amends.schemas.avro.codec import write_datum, writer_schema
from amends.schemas.avro.from_model import NotExpressible, avro_schema_of


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Spaced(Enum):
    ONE = "one two"


class Level(IntEnum):
    LOW = 1


class Line(BaseModel):
    sku: str
    unit: Annotated[Decimal, Field(max_digits=9, decimal_places=2)]
    children: list["Line"] = []


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Cash(BaseModel):
    kind: Literal["cash"]


class Key(BaseModel):
    coded: Base64Bytes


class Order(BaseModel):
    """An order."""

    model_config = ConfigDict(val_json_bytes="base64")

    id: UUID
    text: str = Field(description="Free text.")
    count: int = 3
    ratio: float = 0.5
    paid: bool = False
    total: Decimal
    at: datetime
    local: NaiveDatetime
    day: date
    hour: time
    wait: timedelta
    note: str | None = None
    score: int | str | None = None
    color: Color = Color.RED
    spaced: Spaced
    level: Level
    only: Literal["x"] = "x"
    one_of: Literal["a", "b"]
    raw: bytes
    key: Key
    lines: list[Line]
    pair: tuple[int, int]
    unique: set[str]
    attributes: dict[str, int]
    payment: Annotated[Card | Cash, Field(discriminator="kind")]
    best: Line | None = None
    renamed: str = Field(alias="alsoKnownAs")


ORDER = {
    "id": UUID("8f1c1a52-6b0e-5d5a-9a37-0c4f3b1d7e21"),
    "text": "Zo\u00eb",
    "count": 4,
    "ratio": 1.25,
    "paid": True,
    "total": "12345678901234567890.123",
    "at": datetime(2026, 11, 21, 14, 2, 7, 110001, tzinfo=UTC),
    "local": datetime(2026, 11, 21, 14, 2, 7, 110001),  # noqa: DTZ001 - a local time is meant
    "day": date(2026, 11, 21),
    "hour": time(14, 2, 7, 5),
    "wait": "PT90S",
    "note": None,
    "score": 7,
    "color": "green",
    "spaced": "one two",
    "level": 1,
    "only": "x",
    "one_of": "b",
    "raw": b"\x00\xff",
    "key": {"coded": b"\xfe"},
    "lines": [{"sku": "a", "unit": Decimal("12.50"), "children": [{"sku": "b", "unit": Decimal(0), "children": []}]}],
    "pair": [1, 2],
    "unique": ["u"],
    "attributes": {"a": 1},
    "payment": {"kind": "card", "number": "4111"},
    "best": None,
    "alsoKnownAs": "z",
}


def test_what_is_written_with_the_schema_the_model_reads_back_equal() -> None:
    adapter = TypeAdapter(Order)
    schema = writer_schema(avro_schema_of(adapter, namespace="shop"))
    read = schema.read(write_datum(schema, ORDER), 0)
    expected = Order(
        **{
            **ORDER,
            "wait": timedelta(seconds=90),
            "total": Decimal(ORDER["total"]),  # type: ignore[arg-type]
            "raw": b"\x00\xff",
            "key": {"coded": "/g=="},
        }
    )
    assert adapter.validate_json(plain_json.encode(read)) == expected


def field(name: str) -> Any:
    schema = avro_schema_of(TypeAdapter(Order), namespace="shop")
    (found,) = (field for field in schema["fields"] if field["name"] == name)
    return found


MICROS = {"type": "long", "logicalType": "timestamp-micros"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("id", {"type": {"type": "string", "logicalType": "uuid"}}, id="uuid"),
        pytest.param("text", {"type": "string", "doc": "Free text."}, id="a description is the doc"),
        pytest.param("count", {"type": "long", "default": 3}, id="an integer with a default"),
        pytest.param("total", {"type": "string"}, id="an unbounded decimal is text"),
        pytest.param("at", {"type": MICROS}, id="a time has microseconds"),
        pytest.param("note", {"type": ["null", "string"], "default": None}, id="optional: null first, and the default"),
        pytest.param("score", {"type": ["null", "long", "string"], "default": None}, id="a union"),
        pytest.param(
            "color",
            {"type": {"type": "enum", "name": "Color", "symbols": ["red", "green"]}, "default": "red"},
            id="an enum",
        ),
        pytest.param("spaced", {"type": "string"}, id="an enum that Avro has no symbols for is text"),
        pytest.param("level", {"type": "long"}, id="an enum of numbers is a number"),
        pytest.param("raw", {"type": "bytes"}, id="bytes in base64 are bytes"),
        pytest.param("best", {"type": ["null", "Line"], "default": None}, id="a record is written out once"),
        pytest.param("alsoKnownAs", {"type": "string"}, id="writers use the alias"),
    ],
)
def test_fields(name: str, expected: dict[str, Any]) -> None:
    assert field(name) == {"name": name, **expected}


def test_bounded_decimals_are_avro_decimals() -> None:
    lines = field("lines")["type"]["items"]
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    assert lines["fields"][1] == {"name": "unit", "type": decimal}
    assert lines["fields"][2]["type"] == {"type": "array", "items": "Line"}


def test_base64_fields_are_bytes() -> None:
    assert field("key")["type"]["fields"] == [{"name": "coded", "type": "bytes"}]


def test_a_default_that_is_not_null_comes_first() -> None:
    class Model(BaseModel):
        retries: int | None = 3

    (retries,) = avro_schema_of(TypeAdapter(Model), namespace="x")["fields"]
    assert retries == {"name": "retries", "type": ["long", "null"], "default": 3}


def test_plain_bytes_are_text_as_in_json() -> None:
    class Model(BaseModel):
        raw: bytes

    (raw,) = avro_schema_of(TypeAdapter(Model), namespace="x")["fields"]
    assert raw["type"] == "string"


def test_a_record_inside_itself_and_a_dataclass_are_records() -> None:
    @dataclass
    class Point:
        x: int

    assert avro_schema_of(TypeAdapter(Point), namespace="x")["name"] == "Point"
    tree = avro_schema_of(TypeAdapter(Line), namespace="x")
    assert (tree["type"], tree["name"], tree["namespace"]) == ("record", "Line", "x")
    writer_schema(tree)


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        pytest.param(Any, "any value", id="any"),
        pytest.param(dict[str, Any], "any value", id="a map of anything"),
        pytest.param(list, "any value", id="a list of anything"),
        pytest.param(tuple[int, str], "tuple", id="a tuple of different types"),
        pytest.param(str | UUID | Decimal, "union", id="a union of several texts"),
    ],
)
def test_what_avro_cannot_say_is_refused_with_its_path(kind: Any, detail: str) -> None:
    class Inner(BaseModel):
        odd: kind

    class Model(BaseModel):
        inner: Inner

    with pytest.raises(NotExpressible, match=detail) as refused:
        avro_schema_of(TypeAdapter(Model), namespace="x")
    assert refused.value.path == "inner.odd"


def test_names_that_avro_does_not_know_are_refused() -> None:
    class Model(BaseModel):
        odd: str = Field(alias="order-id")

    with pytest.raises(NotExpressible, match="order-id"):
        avro_schema_of(TypeAdapter(Model), namespace="x")


def test_only_models_have_schemas() -> None:
    with pytest.raises(NotExpressible, match="only a model"):
        avro_schema_of(TypeAdapter(int), namespace="x")
