"""The schemas that a topic's records may be written with, gathered from files, models and a registry."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from amends.schemas.avro.codec import BadSchema, WriterSchema, writer_schema
from amends.schemas.avro.from_model import NotExpressible, avro_schema_of
from amends.schemas.decoding import Lookup, Writers
from amends.schemas.export import PUBLISHED


def writers_of(
    *, files: Mapping[str, str], models: Iterable[TypeAdapter[Any]], lookup: Lookup = lambda _schema_id: None
) -> Writers:
    """Gather them. `files` are the `.avsc` files that `Topic(schemas=…)` matches, name to text.

    A model that Avro cannot express adds nothing: its topic then takes JSON, or what is listed. Raises `BadSchema`
    with the file's name.
    """
    return Writers(
        listed=[_of_file(name, text) for name, text in sorted(files.items())],
        exported=[schema for model in models if (schema := exported_schema(model)) is not None],
        ours=[kind.avro for kind in PUBLISHED],
        lookup=lookup,
    )


def exported_schema(model: TypeAdapter[Any]) -> WriterSchema | None:
    """Give the schema that is exported for a trigger's model; None if Avro cannot express it."""
    try:
        return writer_schema(avro_schema_of(model))
    except NotExpressible:
        return None


def _of_file(name: str, text: str) -> WriterSchema:
    try:
        return writer_schema(text)
    except BadSchema as error:
        raise BadSchema(f"{name}: {error}") from error
