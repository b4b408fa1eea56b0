"""May data written with one schema be read with another? The rules of the Avro specification, "Schema Resolution".

Backward compatible: the new schema reads what was written with the old one; forward: the old one reads the new.
Stricter than the specification in one thing: a logical type must stay what it was, because milliseconds read as
microseconds resolve without an error and are wrong by a factor of thousand.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from amends.schemas.avro.codec import writer_schema
from amends.schemas.avro.reader import Schema

_PROMOTIONS: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def faults(*, reader: Schema, writer: Schema) -> list[str]:
    """List why `reader` could not read what `writer` wrote; empty if it always can. Raises `BadSchema`."""
    return list(_Comparison(writer_schema(reader).schema, writer_schema(writer).schema).faults())


class _Comparison:
    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._reader, self._writer = reader, writer
        self._readers = dict(_named_in(reader))
        self._writers = dict(_named_in(writer))
        self._compared: set[tuple[str, str]] = set()  # Records inside themselves are compared once.

    def faults(self) -> Iterator[str]:
        yield from self._compare(self._reader, self._writer, "")

    def _compare(self, reader: Schema, writer: Schema, path: str) -> Iterator[str]:
        reader, writer = _resolved(reader, self._readers), _resolved(writer, self._writers)
        if isinstance(writer, list):
            for branch in writer:
                yield from self._compare(reader, branch, path)
            return
        if isinstance(reader, list):
            if not any(self._fits(branch, writer) for branch in reader):
                yield _fault(path, f"no branch of the reader's union takes {_shown(writer)}")
            return
        yield from self._compare_types(reader, writer, path)

    def _fits(self, reader: Schema, writer: Schema) -> bool:
        trial = _Comparison(reader, writer)
        trial._readers, trial._writers, trial._compared = self._readers, self._writers, set(self._compared)
        return next(trial.faults(), None) is None

    def _compare_types(self, reader: Mapping[str, Schema], writer: Mapping[str, Schema], path: str) -> Iterator[str]:
        kind, written = reader["type"], writer["type"]
        if kind != written:
            if kind not in _PROMOTIONS.get(written, ()):
                yield _fault(path, f"{_shown(writer)} cannot be read as {_shown(reader)}")
                return
        elif kind in ("record", "error"):
            yield from self._compare_records(reader, writer, path)
        elif kind == "enum":
            yield from _compare_enums(reader, writer, path)
        elif kind == "fixed":
            if reader["size"] != writer["size"] or not _same_name(reader, writer):
                yield _fault(path, f"{_shown(writer)} cannot be read as {_shown(reader)}")
        elif kind == "array":
            yield from self._compare(reader["items"], writer["items"], f"{path}[]")
        elif kind == "map":
            yield from self._compare(reader["values"], writer["values"], f"{path}{{}}")
        if _logical(reader) != _logical(writer):
            yield _fault(path, f"the logical type changes from {_logical(writer)} to {_logical(reader)}")

    def _compare_records(self, reader: Mapping[str, Schema], writer: Mapping[str, Schema], path: str) -> Iterator[str]:
        if not _same_name(reader, writer):
            yield _fault(path, f"record {writer['name']} cannot be read as {reader['name']}")
            return
        pair = (reader["name"], writer["name"])
        if pair in self._compared:
            return
        self._compared.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            inside = f"{path}.{field['name']}" if path else field["name"]
            source = next(
                (written[name] for name in (field["name"], *field.get("aliases", ())) if name in written), None
            )
            if source is not None:
                yield from self._compare(field["type"], source["type"], inside)
            elif "default" not in field:
                yield _fault(inside, "the reader needs this field; the writer has none and there is no default")


def _compare_enums(reader: Mapping[str, Schema], writer: Mapping[str, Schema], path: str) -> Iterator[str]:
    if not _same_name(reader, writer):
        yield _fault(path, f"enum {writer['name']} cannot be read as {reader['name']}")
    unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
    if unknown and "default" not in reader:
        yield _fault(path, f"the reader does not know {', '.join(unknown)}")


def _same_name(reader: Mapping[str, Schema], writer: Mapping[str, Schema]) -> bool:
    names: Sequence[str] = (reader["name"], *reader.get("aliases", ()))
    return any(_unqualified(name) == _unqualified(writer["name"]) for name in names)


def _unqualified(name: str) -> str:
    return name.rpartition(".")[2]


def _resolved(schema: Schema, named: Mapping[str, Schema]) -> Schema:
    """Give a union as it is, any other type as an object with `type`."""
    if isinstance(schema, str):
        return named.get(schema) or {"type": schema}
    if isinstance(schema, Mapping) and not isinstance(schema["type"], str):
        return _resolved(schema["type"], named)
    return schema


def _named_in(schema: Schema) -> Iterator[tuple[str, Schema]]:
    if isinstance(schema, list):
        for branch in schema:
            yield from _named_in(branch)
    elif isinstance(schema, Mapping):
        if "name" in schema:
            yield schema["name"], schema
        for field in schema.get("fields", ()):
            yield from _named_in(field["type"])
        for inner in ("items", "values", "type"):
            yield from _named_in(schema.get(inner))


def _logical(schema: Mapping[str, Schema]) -> str | None:
    name = schema.get("logicalType")
    if name == "decimal":
        return f"decimal({schema.get('precision')},{schema.get('scale', 0)})"
    return None if name is None else str(name)


def _shown(schema: Mapping[str, Schema]) -> str:
    return f"{schema['type']} {schema['name']}" if "name" in schema else str(schema["type"])


def _fault(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text
