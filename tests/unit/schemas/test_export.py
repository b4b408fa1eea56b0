"""Exported schemas: the files are those of the code, and a change that would break a reader is found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amends.schemas.avro.codec import writer_schema
from amends.schemas.entry import Entry
from amends.schemas.events import EVENT_TYPES, Failure, Origin
from amends.schemas.export import PUBLISHED, avro_file, compatibility_faults, schema_files
from amends.schemas.json_schema import entry_json_schema, record_json_schema

SCHEMAS = Path(__file__).parents[3] / "schemas"
FILES = {each.file: each for each in schema_files()}


@pytest.mark.parametrize("file", FILES)
def test_the_checked_in_file_is_what_the_code_says(file: str) -> None:
    assert (SCHEMAS / FILES[file].form / file).read_text() == FILES[file].text, "run: make schemas"


@pytest.mark.parametrize("kind", PUBLISHED, ids=lambda kind: kind.name)
def test_an_exported_file_has_the_fingerprint_of_what_is_written(kind: Any) -> None:
    assert writer_schema(FILES[f"{kind.name}.avsc"].text).fingerprint == kind.avro.fingerprint
    assert FILES[f"{kind.name}.avsc"].uri.endswith(kind.avro.fingerprint[::-1].hex())


def test_every_topic_of_ours_has_its_schemas() -> None:
    assert [(each.name, each.topic, each.form) for each in FILES.values()] == [
        ("outcome", "outcomes", "avro"),
        ("outcome", "outcomes", "json"),
        ("review", "reviews", "avro"),
        ("review", "reviews", "json"),
        ("decision", "decisions", "avro"),
        ("decision", "decisions", "json"),
        ("message", "messages", "avro"),
        ("message", "messages", "json"),
        ("entry", "audit", "json"),
    ]


def test_the_schemas_of_every_release_are_compatible_with_todays() -> None:
    releases = [folder for folder in (SCHEMAS / "released").iterdir() if folder.is_dir()]
    assert releases
    for folder in releases:
        released = {file.name: file.read_text() for file in folder.iterdir()}
        assert "outcome.avsc" in released
        assert compatibility_faults(released) == []


def avro_change(change: Callable[[dict[str, Any]], object]) -> dict[str, str]:
    schema = json.loads(FILES["outcome.avsc"].text)
    change(schema)
    return {"outcome.avsc": avro_file(schema)}


def json_change(change: Callable[[dict[str, Any]], object]) -> dict[str, str]:
    schema = json.loads(FILES["entry.schema.json"].text)
    change(schema)
    return {"entry.schema.json": json.dumps(schema)}


@pytest.mark.parametrize(
    ("released", "direction", "detail"),
    [
        pytest.param(
            avro_change(lambda schema: schema["fields"].pop(-2)),
            "backward",
            "log_hash: the reader needs this field",
            id="today has a field that the release did not write",
        ),
        pytest.param(
            avro_change(lambda schema: schema["fields"].append({"name": "gone", "type": "string"})),
            "forward",
            "gone: the reader needs this field",
            id="a field of the release is gone",
        ),
        pytest.param(
            avro_change(lambda schema: schema["fields"].insert(0, {"name": "outcome_id", "type": "int"})),
            "both",
            "",
            id="a broken file",
        ),
        pytest.param({"ledger.avsc": '"string"'}, "both", "nobody writes it", id="a schema is gone"),
        pytest.param(
            json_change(lambda schema: schema["properties"].update(gone={"type": "string"})),
            "forward",
            "properties.gone: is gone",
            id="a member of the entry is gone",
        ),
        pytest.param(
            json_change(lambda schema: schema["properties"]["version"].update(type="string")),
            "both",
            'properties.version.type: was "string", is "integer"',
            id="a member of the entry has another type",
        ),
        pytest.param(
            json_change(lambda schema: schema["$defs"]["Event"]["oneOf"].append({"$ref": "#/$defs/Gone"})),
            "both",
            "$defs.Event.oneOf: was",
            id="a type of event is gone",
        ),
    ],
)
def test_a_break_is_found(released: dict[str, str], direction: str, detail: str) -> None:
    found = compatibility_faults(released)
    assert found
    assert found[0].direction == direction
    assert detail in found[0].detail


def test_growth_and_other_words_are_no_break() -> None:
    def older(schema: dict[str, Any]) -> None:
        del schema["$defs"]["SagaKilled"]["description"]
        schema["$defs"]["Event"]["oneOf"].pop()
        schema["properties"]["at"]["description"] = "When."

    assert compatibility_faults(json_change(older)) == []
    assert compatibility_faults(avro_change(lambda schema: schema.update(doc="Other words."))) == []
    optional = json.loads(FILES["outcome.avsc"].text)
    optional["fields"] = [field for field in optional["fields"] if field["name"] != "supersedes"]
    assert compatibility_faults({"outcome.avsc": json.dumps(optional)}) == []


def test_the_entrys_schema_has_every_member_and_every_event() -> None:
    schema = entry_json_schema()
    assert set(schema["properties"]) == set(schema["required"]) == set(Entry.__struct_fields__)
    for name, kind in EVENT_TYPES.items():
        event, fields = schema["$defs"][name], msgspec.structs.fields(kind)
        assert set(event["properties"]) == {"type", *kind.__struct_fields__}
        added_later = {field.encode_name for field in fields if field.default is msgspec.UNSET}
        assert set(event["required"]) == set(event["properties"]) - added_later
    assert {each["$ref"].rpartition("/")[2] for each in schema["$defs"]["Event"]["oneOf"]} == set(EVENT_TYPES)


@pytest.mark.parametrize("kind", [*EVENT_TYPES.values(), Origin, Failure], ids=lambda kind: kind.__name__)
def test_what_an_event_was_given_later_is_unset_where_it_is_lacking(kind: type[msgspec.Struct]) -> None:
    defaults = {field.default for field in msgspec.structs.fields(kind)}
    assert defaults <= {msgspec.NODEFAULT, msgspec.UNSET}, "older entries would be written with other bytes than before"


def test_a_records_json_schema_follows_its_avro_schema() -> None:
    outcome = record_json_schema(PUBLISHED[0])
    assert outcome["required"] == [field["name"] for field in PUBLISHED[0].avro.schema["fields"]]
    properties = outcome["properties"]
    assert properties["started_at"]["format"] == "date-time"
    assert set(properties["result"]) == {"description"}
    assert properties["undone"]["items"]["properties"]["verified_by"]["type"] == "string"
