"""Our compatibility checker gives the answers of Apache Avro's, and says where the trouble is."""

import json
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from amends.schemas.avro.compatibility import faults


def record(*fields: dict[str, Any], name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


def fixed(size: int, name: str = "F") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


A, B = field("a", "int"), field("b", "string")
OPTIONAL_B = field("b", ["null", "string"], default=None)
TREE = record(field("kids", {"type": "array", "items": "R"}))
DEEPER_TREE = record(field("kids", {"type": "array", "items": "R"}), field("n", "int"))

CASES = [
    # reader, writer, why the reader cannot (None: it can)
    pytest.param("long", "int", None, id="int to long"),
    pytest.param("int", "long", "long cannot be read as int", id="long to int"),
    pytest.param("double", "float", None, id="float to double"),
    pytest.param("float", "long", None, id="long to float"),
    pytest.param("float", "double", "double cannot", id="double to float"),
    pytest.param("bytes", "string", None, id="string to bytes"),
    pytest.param("string", "bytes", None, id="bytes to string"),
    pytest.param("string", "int", "int cannot", id="int to string"),
    pytest.param("null", "boolean", "boolean cannot", id="boolean to null"),
    pytest.param(record(A), record(A, B), None, id="a field goes away"),
    pytest.param(record(A, B), record(A), "b: the reader needs this field", id="a field comes without default"),
    pytest.param(record(A, OPTIONAL_B), record(A), None, id="a field comes with a default"),
    pytest.param(record(B, A), record(A, B), None, id="fields change their order"),
    pytest.param(record(field("b", "int", aliases=["a"])), record(A), None, id="a field is renamed with an alias"),
    pytest.param(record(A, name="S"), record(A), "record R cannot be read as S", id="a record is renamed"),
    pytest.param(record(A, name="S", aliases=["R"]), record(A), None, id="a record is renamed with an alias"),
    pytest.param(record(A), record(A, namespace="x"), None, id="a record moves to another namespace"),
    pytest.param(record(field("a", "long")), record(A), None, id="a field is widened"),
    pytest.param(record(A), record(field("a", "long")), "a: long cannot", id="a field is narrowed"),
    pytest.param(record(field("a", ["null", "int"])), record(A), None, id="a field becomes optional"),
    pytest.param(record(A), record(field("a", ["null", "int"])), "a: null cannot", id="a field becomes required"),
    pytest.param(["null", "int", "string"], ["null", "int"], None, id="a union grows"),
    pytest.param(["null", "int"], ["null", "int", "string"], "union takes string", id="a union shrinks"),
    pytest.param(["null", "long"], "int", None, id="a union takes a promoted type"),
    pytest.param("int", ["int"], None, id="a union of one"),
    pytest.param(enum("A", "B"), enum("A"), None, id="an enum grows"),
    pytest.param(enum("A"), enum("A", "B"), "does not know B", id="an enum shrinks"),
    pytest.param({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, None, id="items are widened"),
    pytest.param({"type": "array", "items": "int"}, {"type": "array", "items": "long"}, "[]: long", id="narrowed"),
    pytest.param({"type": "map", "values": "long"}, {"type": "map", "values": "int"}, None, id="values are widened"),
    pytest.param({"type": "map", "values": "int"}, {"type": "map", "values": "string"}, "{}: string", id="values"),
    pytest.param({"type": "map", "values": "int"}, {"type": "array", "items": "int"}, "array cannot", id="map, array"),
    pytest.param(fixed(4), fixed(4), None, id="the same fixed"),
    pytest.param(fixed(5), fixed(4), "fixed F cannot", id="a fixed changes its size"),
    pytest.param(fixed(4, "G"), fixed(4), "fixed F cannot be read as fixed G", id="a fixed is renamed"),
    pytest.param(TREE, TREE, None, id="a record inside itself"),
    pytest.param(TREE, DEEPER_TREE, None, id="a record inside itself loses a field"),
    pytest.param(DEEPER_TREE, TREE, "n: the reader needs", id="a record inside itself gains a field"),
    pytest.param(record(field("a", record(A, B, name="S"))), record(field("a", record(A, name="S"))), "a.b", id="path"),
]


@pytest.mark.parametrize(("reader", "writer", "why"), CASES)
def test_a_reader_can_read_exactly_what_apache_says_it_can(reader: Any, writer: Any, why: str | None) -> None:
    found = faults(reader=reader, writer=writer)
    assert (found == []) is (why is None)
    if why is not None:
        assert why in found[0]
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    apache = checker.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    assert (apache.compatibility is SchemaCompatibilityType.compatible) is (why is None)


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        pytest.param(MICROS, MILLIS, id="milliseconds read as microseconds"),
        pytest.param(MICROS, "long", id="numbers read as times"),
        pytest.param(
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3},
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            id="cents read as mills",
        ),
    ],
)
def test_a_logical_type_stays_what_it_was(reader: Any, writer: Any) -> None:
    assert "logical type changes" in faults(reader=reader, writer=writer)[0]


def test_an_enum_with_a_default_reads_symbols_it_does_not_know() -> None:
    assert faults(reader=enum("A", default="A"), writer=enum("A", "B")) == []
