"""The schemas as files: what `amends schemas list`, `export` and `check` show, write and compare."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from amends.schemas.avro.codec import BadSchema, writer_schema
from amends.schemas.avro.compatibility import faults
from amends.schemas.headers import ENTRY_SCHEMA, schema_uri
from amends.schemas.json_schema import entry_json_schema, record_json_schema
from amends.schemas.message import MESSAGES
from amends.schemas.outcome import OUTCOMES
from amends.schemas.published import Published
from amends.schemas.review import DECISIONS, REVIEWS

PUBLISHED: Final[tuple[Published[Any], ...]] = (OUTCOMES, REVIEWS, DECISIONS, MESSAGES)
"""Every kind of record on our own topics but the audit entry, which has no Avro form."""
KEPT_FOR_LATER: Final = (REVIEWS, DECISIONS)
"""Those of them whose form is settled and that nothing writes or reads yet."""


class SchemaFile(msgspec.Struct, frozen=True, kw_only=True):
    """One schema as a file. `topic` is without the prefix; `in_use` is false for what is kept for later."""

    name: str
    topic: str
    form: str
    uri: str
    file: str
    text: str
    in_use: bool = True


def schema_files() -> tuple[SchemaFile, ...]:
    """Give all our schemas, in the order in which they are listed."""
    files = []
    for kind in PUBLISHED:
        avro, plain = _text(_without_marks(kind.avro.schema)), _text(record_json_schema(kind))
        for form, file, text in (("avro", f"{kind.name}.avsc", avro), ("json", f"{kind.name}.schema.json", plain)):
            uri = schema_uri(kind, "avro" if form == "avro" else "json")
            in_use = kind not in KEPT_FOR_LATER
            files.append(
                SchemaFile(name=kind.name, topic=kind.topic, form=form, uri=uri, file=file, text=text, in_use=in_use)
            )
    entry = _text(entry_json_schema())
    files.append(
        SchemaFile(name="entry", topic="audit", form="json", uri=ENTRY_SCHEMA, file="entry.schema.json", text=entry)
    )
    return tuple(files)


def avro_file(schema: Mapping[str, Any]) -> str:
    """Write an Avro schema as a file: a trigger's, for instance."""
    return _text(_without_marks(schema))


class SchemaFault(msgspec.Struct, frozen=True, kw_only=True):
    """A reader of one release could not read what another one writes."""

    file: str
    direction: str
    detail: str


def compatibility_faults(released: Mapping[str, str]) -> list[SchemaFault]:
    """Compare today's schemas with those of a release, given as file name to text; both directions."""
    today = {each.file: each for each in schema_files()}
    found: list[SchemaFault] = []
    for file, text in sorted(released.items()):
        if file not in today:
            found.append(SchemaFault(file=file, direction="both", detail="the release had it, today nobody writes it"))
        elif today[file].form == "avro":
            found += _avro_faults(file, today[file].text, text)
        else:
            found += _json_faults(file, json.loads(today[file].text), json.loads(text))
    return found


def _avro_faults(file: str, today: str, released: str) -> list[SchemaFault]:
    try:
        new, old = writer_schema(today).schema, writer_schema(released).schema
    except BadSchema as error:
        return [SchemaFault(file=file, direction="both", detail=str(error))]
    ways = (("backward", faults(reader=new, writer=old)), ("forward", faults(reader=old, writer=new)))
    return [SchemaFault(file=file, direction=way, detail=each) for way, found in ways for each in found]


def _json_faults(file: str, today: Any, released: Any, path: str = "") -> list[SchemaFault]:  # noqa: ANN401 - JSON
    """Every field of the release must still be there and say the same; new ones, and other words, are welcome."""
    if isinstance(released, dict) and isinstance(today, dict):
        found: list[SchemaFault] = []
        for name, inner in released.items():
            inside = f"{path}.{name}" if path else name
            if name in _WORDS:
                continue
            if name not in today:
                found.append(SchemaFault(file=file, direction="forward", detail=f"{inside}: is gone"))
            else:
                found += _json_faults(file, today[name], inner, inside)
        return found
    if isinstance(released, list) and isinstance(today, list) and all(each in today for each in released):
        return []
    if released == today:
        return []
    detail = f"{path}: was {json.dumps(released)}, is {json.dumps(today)}"
    return [SchemaFault(file=file, direction="both", detail=detail)]


_WORDS: Final = frozenset({"description", "title", "$schema", "$id"})


_ORDER: Final = ("name", "type", "logicalType", "doc", "default", "fields", "items")


def _without_marks(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out what the Avro library notes in a schema it has parsed; put what a person looks for first."""
    if isinstance(schema, list):
        return [_without_marks(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    names = [name for name in _ORDER if name in schema]
    names += [name for name in schema if name not in _ORDER and not name.startswith("__")]
    return {name: _without_marks(schema[name]) for name in names}


def _text(schema: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
