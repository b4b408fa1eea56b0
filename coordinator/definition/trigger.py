"""What a record must hold to become a run: its model, and the paths that name the request and its object."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from amends.coordinator.definition.fields import fields_of, name_of_type
from amends.coordinator.definition.findings import Finding, finding
from amends.coordinator.definition.form import TriggerForm
from amends.coordinator.definition.handler import told
from amends.coordinator.definition.json_schema import Schema
from amends.coordinator.definition.key_paths import KeyPath, Missing, key_path_findings, missing, schema_at
from amends.coordinator.definition.places import Place


class TriggerInvalid(Exception):
    """The record's data does not fit the trigger's model. `path` is the dotted place, empty for the whole."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}" if path else detail)
        self.path = path
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerReader:
    """Holds a record's data against the trigger's model."""

    adapter: TypeAdapter[Any]
    schema_json: bytes

    def read(self, data: bytes) -> bytes:
        """The trigger's JSON text with the model's defaults filled in: what handlers and conditions see.

        A model that does not read back equal what it writes keeps the text it was sent. Raises `TriggerInvalid`.
        """
        try:
            trigger = self.adapter.validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            path = ".".join(str(each) for each in first["loc"])
            raise TriggerInvalid(path, told(error).removeprefix(f"{path}: ")) from None
        try:
            written = self.adapter.dump_json(trigger, by_alias=True)
            same = bool(self.adapter.validate_json(written) == trigger)
        except (ValidationError, PydanticSerializationError, ValueError, TypeError):
            return data
        return written if same else data


def trigger_findings(model: object, schema: Schema, form: TriggerForm, *, at: Place, saga: str) -> Iterator[Finding]:
    """The rules about a trigger."""
    if fields_of(model) is None:
        yield finding(
            "AM1073",
            f"the trigger of saga {saga!r} is {name_of_type(model)}, which has no named fields",
            do="declare a model: class Order(BaseModel): …",
            at=at,
            saga=saga,
        )
        return
    keys = {"idempotency_key": form.idempotency_key, "business_key": form.business_key}
    for option, path in keys.items():
        if path is not None:
            key = KeyPath(path, f"Topic({option}={path!r})", "a key is", "AM1070", "AM1072")
            yield from key_path_findings(key, schema, model=name_of_type(model), at=at, saga=saga)
    for path in form.volatile:
        if isinstance(found := schema_at(schema, path), Missing):
            option = f"Topic(volatile={path!r})"
            yield missing("AM1070", option, found, model=name_of_type(model), at=at, saga=saga)
    if form.idempotency_key is not None and form.idempotency_key == form.business_key:
        yield finding(
            "AM1071",
            f"saga {saga!r} names both the request and its object by {form.business_key!r}: "
            "a second request about the same object counts as a duplicate of the first",
            do="name the request by a field of its own, for instance request_id",
            at=at,
            saga=saga,
        )
