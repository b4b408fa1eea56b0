"""Read one Avro datum, trusting nothing but its schema (Avro 1.12 specification, binary encoding).

fastavro believes what a datum says about itself: an array of 2^60 nulls is nine bytes long, a negative union index
takes the last branch, trailing bytes pass. This reader checks every declared length before it acts on it, and gives
values the form that rule 5 compares and pydantic validates: bytes as base64, decimals as text, times as RFC 3339.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from amends.schemas.avro.binary import (
    FAULTS,
    PRIMITIVES,
    Progress,
    Read,
    array_of,
    base64_of,
    converted,
    enum_of,
    explained,
    fixed_of,
    map_of,
    read_raw_bytes,
    record_of,
    union_of,
)
from amends.schemas.avro.logical import converter_of
from amends.schemas.undecodable import Undecodable

Schema = Any
"""JSON as fastavro parses it: a name, a list (union), or an object with `type`."""


def reader_of(schema: Schema, named: Mapping[str, Schema]) -> Callable[[bytes, int], object]:
    """Compile a parsed schema (as fastavro expands it, with its named types) into a function of bytes and offset.

    The function reads to the end of the bytes and raises `Undecodable`, with the path, and nothing else.
    """
    read = _Compiler(named).compile(schema)

    def read_all(data: bytes, offset: int) -> object:
        try:
            value, end = read(data, offset, Progress())
        except FAULTS as fault:
            raise explained(fault) from None
        if end != len(data):
            raise Undecodable(f"{len(data) - end} bytes left over after the value")
        return value

    return read_all


class _Compiler:
    """Turns types into functions; named types once, so that they may contain themselves."""

    def __init__(self, named: Mapping[str, Schema]) -> None:
        self._named = named
        self._done: dict[str, Read] = {}
        self._sizes = _Sizes(named)

    def compile(self, schema: Schema) -> Read:
        if isinstance(schema, list):
            return union_of([self.compile(branch) for branch in schema])
        if isinstance(schema, str):
            return PRIMITIVES[schema] if schema in PRIMITIVES else self._reference(schema)
        kind = schema["type"]
        if kind in ("record", "error"):
            self._compile_record(schema)
            return self._done[schema["name"]]
        read = self._unnamed(kind, schema)
        convert = converter_of(schema)
        return read if convert is None else converted(_raw_of(kind, schema, read), convert)

    def _unnamed(self, kind: Schema, schema: Mapping[str, Schema]) -> Read:
        match kind:
            case "enum":
                return enum_of(schema["symbols"])
            case "fixed":
                return converted(fixed_of(schema["size"]), base64_of)
            case "array":
                items = schema["items"]
                return array_of(self.compile(items), self._sizes.least(items))
            case "map":
                values = schema["values"]
                return map_of(self.compile(values), 1 + self._sizes.least(values))
            case _:
                return self.compile(kind)

    def _compile_record(self, schema: Mapping[str, Schema]) -> None:
        name = schema["name"]
        if name in self._done:
            return
        if len({field["name"] for field in schema["fields"]}) < len(schema["fields"]):
            raise ValueError(f"record {name} has two fields of one name")
        fields: list[tuple[str, Read]] = []
        unpaid = sum(self._sizes.least(field["type"]) == 0 for field in schema["fields"])
        self._done[name] = record_of(fields, unpaid)  # Before its fields, which may refer to it.
        fields.extend((field["name"], self.compile(field["type"])) for field in schema["fields"])

    def _reference(self, name: str) -> Read:
        return self._done[name] if name in self._done else self.compile(self._named[name])


class _Sizes:
    """How few bytes a value of a type may take. What takes none is paid for otherwise, see `Progress.make`."""

    def __init__(self, named: Mapping[str, Schema]) -> None:
        self._named = named
        self._known: dict[str, int] = {}

    def least(self, schema: Schema) -> int:
        if isinstance(schema, list):
            return 1 + min((self.least(branch) for branch in schema), default=0)
        if isinstance(schema, str):
            return _LEAST[schema] if schema in _LEAST else self._least_named(schema, self._named)
        match schema["type"]:
            case "record" | "error":
                return self._least_named(schema["name"], {schema["name"]: schema})
            case "fixed":
                return int(schema["size"])
            case "enum" | "array" | "map":
                return 1
            case inner:
                return self.least(inner)

    def _least_named(self, name: str, named: Mapping[str, Schema]) -> int:
        if name not in self._known:
            self._known[name] = 0  # For a record inside itself: too few is safe, too many would refuse good bytes.
            schema = named[name]
            fields = schema.get("fields")
            self._known[name] = (
                self.least(schema) if fields is None else sum(self.least(field["type"]) for field in fields)
            )
        return self._known[name]


def _raw_of(kind: Schema, schema: Mapping[str, Schema], read: Read) -> Read:
    """Give what a logical type converts: bytes unencoded, everything else as it is."""
    if kind == "bytes":
        return read_raw_bytes
    return fixed_of(schema["size"]) if kind == "fixed" else read


_LEAST: Final = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
