"""The guarded Avro reader: equal to fastavro on what is sound, `Undecodable` on everything else."""

import io
import json
import struct
import tracemalloc
from base64 import b64encode
from decimal import Decimal
from typing import Any

import avro.schema
import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.schemas.avro.codec import (
    BadSchema,
    WriterSchema,
    confluent_id_in,
    fingerprint_in,
    write_confluent,
    write_datum,
    write_single_object,
    writer_schema,
)
from amends.schemas.undecodable import Undecodable
from tests.unit.schemas.effort import calls, cpu_s


def zigzag(number: int) -> bytes:
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def record(**fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


TREE = record(name="string", kids=array("R"))
PAIRS = {"type": "map", "values": "null"}
LIST = record(next=["null", "R"])


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        pytest.param("string", "Zo\u00eb", "Zo\u00eb", id="text"),
        pytest.param("bytes", b"\xff\x00", "/wA=", id="bytes are base64"),
        pytest.param({"type": "fixed", "name": "F", "size": 2}, b"\xff\x00", "/wA=", id="fixed is base64"),
        pytest.param("double", 1.0, 1, id="a whole double is an integer"),
        pytest.param(logical("bytes", "decimal", precision=6, scale=2), b"\xfe\x0c", "-5.00", id="a decimal is text"),
        pytest.param(logical("bytes", "decimal", precision=6, scale=2), b"\x05", "0.05", id="a small decimal"),
        pytest.param(logical("bytes", "decimal", precision=6), b"\x00\x05", "5", id="a decimal without scale"),
        pytest.param(logical("int", "date"), 20000, "2024-10-04", id="a date"),
        pytest.param(logical("int", "time-millis"), 3_600_001, "01:00:00.001000", id="a time"),
        pytest.param(logical("long", "time-micros"), 1, "00:00:00.000001", id="a time in microseconds"),
        pytest.param(logical("long", "timestamp-millis"), 1, "1970-01-01T00:00:00.001000Z", id="milliseconds"),
        pytest.param(logical("long", "timestamp-micros"), -1, "1969-12-31T23:59:59.999999Z", id="before 1970"),
        pytest.param(logical("long", "timestamp-nanos"), 1999, "1970-01-01T00:00:00.000001Z", id="nanoseconds"),
        pytest.param(logical("long", "local-timestamp-micros"), 1, "1970-01-01T00:00:00.000001", id="local time"),
        pytest.param(
            logical("string", "uuid"),
            "8F1C1A52-6B0E-5D5A-9A37-0C4F3B1D7E21",
            "8f1c1a52-6b0e-5d5a-9a37-0c4f3b1d7e21",
            id="a uuid has one spelling",
        ),
        pytest.param(logical("string", "nonsense"), "x", "x", id="an unknown logical type is the plain type"),
        pytest.param(logical("string", "date"), "x", "x", id="a logical type on the wrong type is the plain type"),
        pytest.param({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B", id="an enum is its symbol"),
        pytest.param(["null", "string"], None, None, id="a union is its value"),
        pytest.param(TREE, {"name": "a", "kids": [{"name": "b", "kids": []}]}, None, id="a type inside itself"),
        pytest.param(array("null"), [None] * 10, None, id="a few nulls"),
    ],
)
def test_reads(schema: Any, value: Any, expected: object) -> None:
    plain = (
        {"type": schema["type"], **{k: v for k, v in schema.items() if k != "logicalType"}}
        if isinstance(schema, dict)
        else schema
    )
    data = write_datum(writer_schema(plain), value)
    assert writer_schema(schema).read(data, 0) == (value if expected is None else expected)


@pytest.mark.parametrize(
    ("schema", "data", "path", "detail"),
    [
        pytest.param("string", b"\x0a" + b"abc", "", "a length of 5 with 3 bytes left", id="a text that ends early"),
        pytest.param("string", b"\x01", "", "a length of -1", id="a negative length"),
        pytest.param("string", zigzag(2**62) + b"a", "", "a length of", id="a huge length"),
        pytest.param("string", b"\x02\xff", "", "UTF-8", id="invalid UTF-8"),
        pytest.param("string", b"\x06\xed\xa0\x80", "", "UTF-8", id="a lone surrogate"),
        pytest.param("long", b"\x02\x02", "", "1 bytes left over", id="trailing bytes"),
        pytest.param("long", b"", "", "end inside a value", id="nothing"),
        pytest.param("long", b"\x80" * 5, "", "end inside a value", id="a number without end"),
        pytest.param("long", b"\x80" * 100 + b"\x01", "", "64 bits", id="a number of 100 bytes"),
        pytest.param("long", b"\xff" * 9 + b"\x7f", "", "64 bits", id="a number of 70 bits"),
        pytest.param("int", zigzag(2**31), "", "32 bits", id="an int that is a long"),
        pytest.param("boolean", b"\x02", "", "0 or 1", id="a boolean of two"),
        pytest.param("double", struct.pack("<d", float("nan")), "", "nan", id="NaN"),
        pytest.param("float", struct.pack("<f", float("-inf")), "", "-inf", id="infinity"),
        pytest.param("double", b"\x00" * 7, "", "end inside", id="half a double"),
        pytest.param(["null", "string"], zigzag(2), "", "branch 2", id="a branch that is not there"),
        pytest.param(["null", "string"], zigzag(-1) + b"\x00", "", "branch -1", id="a negative branch"),
        pytest.param({"type": "enum", "name": "E", "symbols": ["A"]}, zigzag(-1), "", "symbol -1", id="a symbol"),
        pytest.param({"type": "fixed", "name": "F", "size": 2**40}, b"abc", "", "declared", id="a huge fixed"),
        pytest.param(logical("bytes", "decimal", precision=2), b"\x04\x7f\xff", "", "2 digits", id="a big decimal"),
        pytest.param(logical("string", "uuid"), b"\x02x", "", "UUID", id="a uuid that is none"),
        pytest.param(logical("int", "date"), zigzag(2**31 - 1), "", "years 1 to 9999", id="a date beyond 9999"),
        pytest.param(logical("long", "timestamp-micros"), zigzag(2**62), "", "years", id="a time beyond 9999"),
        pytest.param(logical("int", "time-millis"), zigzag(-1), "", "time of day", id="a time before midnight"),
        pytest.param(PAIRS, zigzag(2) + b"\x02a\x02a\x00", "a", "twice", id="a key that comes twice"),
        pytest.param(record(a=record(b="int") | {"name": "S"}), zigzag(2**40), "a.b", "32 bits", id="the path"),
        pytest.param(array("string"), zigzag(2) + b"\x02a\x02\xff\x00", "1", "UTF-8", id="the index in an array"),
        pytest.param(array("string"), zigzag(-1) + zigzag(9) + b"\x02a\x00", "", "block", id="a block's false size"),
        pytest.param(array("int"), zigzag(-1) + zigzag(2) + b"\x02\x02\x00", "", "block", id="a block's short items"),
    ],
)
def test_refuses(schema: Any, data: bytes, path: str, detail: str) -> None:
    with pytest.raises(Undecodable) as refused:
        writer_schema(schema).read(data, 0)
    assert refused.value.path == path
    assert detail in refused.value.detail


DOUBLING: dict[str, Any] = {"type": "record", "name": "R0", "fields": []}
for level in range(1, 30):
    DOUBLING = {
        "type": "record",
        "name": f"R{level}",
        "fields": [{"name": "a", "type": DOUBLING}, {"name": "b", "type": f"R{level - 1}"}],
    }

BOMBS = [
    pytest.param(array("null"), zigzag(2**60) + b"\x00", id="2^60 nulls in nine bytes"),
    pytest.param(array("null"), zigzag(-(2**63)) + b"\x00\x00", id="2^63 nulls in a block with a size"),
    pytest.param(array("null"), (zigzag(99_999) * 300_000) + b"\x00", id="many blocks of many nulls"),
    pytest.param(array(record()), zigzag(2**40) + b"\x00", id="2^40 empty records"),
    pytest.param(array({"type": "fixed", "name": "F", "size": 0}), zigzag(2**40) + b"\x00", id="2^40 empty fixeds"),
    pytest.param(array("long"), zigzag(2**60) + b"\x00", id="2^60 longs"),
    pytest.param(array(array("null")), zigzag(500_000) + zigzag(50_000) * 500_000, id="arrays of arrays of nulls"),
    pytest.param(PAIRS, zigzag(2**60) + b"\x00", id="2^60 pairs"),
    pytest.param("bytes", zigzag(2**62), id="2^62 bytes"),
    pytest.param(LIST, b"\x02" * 1_000_000, id="a list a million deep"),
    pytest.param(TREE, b"\x00\x02" * 500_000, id="a tree half a million deep"),
    pytest.param(array(DOUBLING), zigzag(1000) + b"\x00", id="records that double thirty times and take no bytes"),
    pytest.param(logical("bytes", "decimal", precision=10), zigzag(900_000) + b"\x7f" * 900_000, id="a long decimal"),
]


HONEST = 100_000
"""Records of an honest datum of 200 kB."""


@pytest.mark.parametrize(("schema", "data"), BOMBS)
def test_a_bomb_costs_no_more_than_an_honest_datum_and_little_memory(schema: Any, data: bytes) -> None:
    reader = writer_schema(schema)
    honest = writer_schema(array(record(a="long", b="long")))

    def explode() -> None:
        with pytest.raises(Undecodable):
            reader.read(data, 0)

    def behave() -> None:
        honest.read(zigzag(HONEST) + b"\x02\x02" * HONEST + b"\x00", 0)

    assert calls(explode) < calls(behave)
    assert cpu_s(explode) < 3 * cpu_s(behave)
    tracemalloc.start()
    with pytest.raises(Undecodable):
        reader.read(data, 0)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20_000_000


primitives = st.sampled_from(["null", "boolean", "int", "long", "double", "bytes", "string"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "bytes": st.binary(max_size=5),
    "string": st.text(max_size=5),
}


@st.composite
def typed(draw: st.DrawFn, depth: int = 0, name: str = "R") -> tuple[Any, st.SearchStrategy[Any]]:
    """A schema, and values of it."""
    kind = draw(st.sampled_from(["primitive", "optional", "array", "map", "record"] if depth < 3 else ["primitive"]))
    if kind == "primitive":
        primitive = draw(primitives)
        return primitive, VALUES[primitive]
    if kind == "optional":
        primitive = draw(primitives.filter(lambda drawn: drawn != "null"))
        return ["null", primitive], st.none() | VALUES[primitive]
    if kind == "record":
        members = [draw(typed(depth + 1, f"{name}_{i}")) for i in range(draw(st.integers(0, 3)))]
        fields = [{"name": f"f{i}", "type": schema} for i, (schema, _) in enumerate(members)]
        schema = {"type": "record", "name": name, "fields": fields}
        return schema, st.fixed_dictionaries({f"f{i}": values for i, (_, values) in enumerate(members)})
    inner, values = draw(typed(depth + 1, name))
    if kind == "array":
        return {"type": "array", "items": inner}, st.lists(values, max_size=3)
    return {"type": "map", "values": inner}, st.dictionaries(st.text(max_size=3), values, max_size=3)


def by_fastavro(schema: WriterSchema, data: bytes) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(data), schema.schema, None)


def as_compared(value: Any) -> Any:
    """What rule 5 makes of a value that fastavro read."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return [as_compared(item) for item in value]
    if isinstance(value, dict):
        return {key: as_compared(item) for key, item in value.items()}
    return value


@given(st.data())
def test_reads_what_fastavro_reads(data: st.DataObject) -> None:
    schema, values = data.draw(typed())
    writer = writer_schema(schema)
    value = data.draw(values)
    written = write_datum(writer, value)
    assert writer.read(written, 0) == as_compared(by_fastavro(writer, written))
    assert writer.read(write_single_object(writer, value), 10) == writer.read(written, 0)


@given(st.data())
def test_any_bytes_are_a_value_or_undecodable(data: st.DataObject) -> None:
    schema, _ = data.draw(typed())
    try:
        writer_schema(schema).read(data.draw(st.binary(max_size=40)), 0)
    except Undecodable:
        return


@pytest.mark.parametrize(
    ("schema", "fingerprint"),
    [
        pytest.param("null", 0x63DD24E7CC258F8A, id="null"),
        pytest.param("int", 0x7275D51A3F395C8F, id="int"),
        pytest.param({"type": "long", "doc": "x"}, 0xD054E14493F41DB7, id="long, in its long form"),
        pytest.param('"string"', 0x8F014872634503C7, id="string, as JSON text"),
    ],
)
def test_fingerprints_are_those_of_the_specification(schema: Any, fingerprint: int) -> None:
    assert writer_schema(schema).fingerprint == fingerprint.to_bytes(8, "little")


def test_fingerprint_of_a_record_is_that_of_another_implementation() -> None:
    schema = {**TREE, "namespace": "amends.test", "doc": "left out", "aliases": ["x"]}
    assert writer_schema(schema).fingerprint == avro.schema.parse(json.dumps(schema)).fingerprint("CRC-64-AVRO")


def test_heads_name_the_schema() -> None:
    text = writer_schema("string")
    single, confluent = write_single_object(text, "a"), write_confluent(text, 258, "a")
    assert (single[:2], fingerprint_in(single), text.read(single, 10)) == (b"\xc3\x01", text.fingerprint, "a")
    assert (confluent[:5], confluent_id_in(confluent)) == (b"\x00\x00\x00\x01\x02", 258)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param("{", id="broken JSON"),
        pytest.param({"type": "record", "name": "R", "fields": [{"name": "a", "type": "Missing"}]}, id="unknown type"),
        pytest.param({"type": "record", "fields": []}, id="a record without name"),
        pytest.param({"type": "enum", "name": "E"}, id="an enum without symbols"),
        pytest.param({**TREE, "fields": [*TREE["fields"], *TREE["fields"]]}, id="two fields of one name"),
        pytest.param(17, id="a number"),
        pytest.param("[" * 5000, id="nested brackets"),
        pytest.param('{"type":"array","items":' * 5000, id="5,000 arrays deep"),
        pytest.param("x" * 1_000_001, id="a megabyte"),
    ],
)
def test_a_bad_schema_is_refused(schema: Any) -> None:
    with pytest.raises(BadSchema, match="schema"):
        writer_schema(schema)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"name": "a"}, id="a field is missing"),
        pytest.param({"name": "a", "kids": [], "more": 1}, id="a field is too many"),
        pytest.param({"name": 1, "kids": []}, id="a field has another type"),
    ],
)
def test_a_value_that_does_not_fit_is_never_written(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        write_datum(writer_schema(TREE), value)
