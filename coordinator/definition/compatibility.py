"""Rule 14: whether a handler of today may serve a definition that was stored with the schemas of another day.

It may if today's schemas can read what the stored ones describe: every property required today is required there, and
what both have has the same or a wider type today. Whatever cannot be decided counts as no.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any, Final

from msgspec import Raw

from amends.coordinator.definition.expression import references
from amends.coordinator.definition.form import DefinitionForm, HandlerForm, HandlerSchemas, StepForm
from amends.coordinator.definition.json_schema import Schema, alternatives, member, resolved

_WORDS: Final = frozenset({"title", "description", "examples", "default", "deprecated", "readOnly", "writeOnly"})
_IGNORED: Final = _WORDS | {"$defs"}
_LEAST: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_MOST: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_SAME: Final = frozenset({"format", "pattern", "multipleOf", "uniqueItems", "contentEncoding", "contentMediaType"})
_STRUCTURE: Final = frozenset(
    {"$ref", "anyOf", "oneOf", "const", "enum", "type", "properties", "required", "additionalProperties", "items"}
    | {"prefixItems", "discriminator"}
)


def may_serve(stored: HandlerSchemas, today: HandlerSchemas, fields: Collection[str] = ()) -> bool:
    """Whether today's handler can be called with stored values, and its result be used where the stored one was."""
    return why_not(stored, today, fields) is None


def why_not(stored: HandlerSchemas | None, today: HandlerSchemas | None, fields: Collection[str] = ()) -> str | None:
    """Why today's handler may not serve; None where it may. `fields` of its result are what the definition uses."""
    if today is None:
        return "there is no handler of this name"
    if stored is None:
        return "its schemas were not stored"
    for name, schema in today.parameters.items():
        if name not in stored.parameters:
            return f"its parameter {name!r} is new"
        if not can_read(_decoded(schema), _decoded(stored.parameters[name])):
            return f"its parameter {name!r} cannot be read from what was stored"
    ours, theirs = _decoded(today.result), _decoded(stored.result)
    if ours is not None and theirs is not None and not can_read(ours, theirs):
        return "its result has another type"
    lacking = next((field for field in fields if ours is not None and not _has(ours, field)), None)
    return None if lacking is None else f"its result has no {lacking!r}, which the definition refers to"


def handler_names(form: DefinitionForm) -> Iterator[str]:
    """Every handler a definition needs, in its order. A wait needs none to begin, nor to be met or to end."""
    for step in form.every_step():
        if step.wait is None and not step.repeats:
            yield from (handler.name for handler in handlers_of(step))


def waits_of(form: DefinitionForm) -> Iterator[str]:
    """The names under which stands what a wait for a message is given."""
    yield from (step.handler.name for step in form.every_step() if step.wait is not None)


def handlers_of(step: StepForm) -> tuple[HandlerForm, ...]:
    """The step's handlers, its undo's among them."""
    undo = (step.undo.handler, step.undo.verify) if step.undo else ()
    return tuple(handler for handler in (step.handler, step.verify, step.lookup, *undo) if handler is not None)


def fields_used(form: DefinitionForm) -> dict[str, list[str]]:
    """The fields of results that arguments and conditions refer to, by the handler that returns them."""
    found: dict[str, list[str]] = {}
    steps = {step.path: step for step in form.every_step()}

    def note(path: str | None, field: str) -> None:
        step = steps.get(path or "")
        while step is not None and step.loop is not None:
            step = steps.get(step.loop.returns or "")
        if step is not None and field and not step.repeats:
            found.setdefault(step.handler.name, []).append(field)

    for step in steps.values():
        for handler in handlers_of(step):
            for argument in handler.arguments.values():
                note(argument.step, argument.field)
        for condition in (step.when, step.loop and step.loop.until):
            for reference in references(condition) if condition else ():
                note(reference.step, reference.field)
    return found


def _has(schema: Schema, field: str) -> bool:
    current: Schema | None = schema
    for name in field.split("."):
        if current is None:
            return False
        current, _ = member(schema, resolved(schema, current), name)
    return current is not None


def can_read(today: Schema, stored: Schema) -> bool:
    """Whether every value the stored schema describes is one that today's schema accepts."""
    return bool(_bare(today) == _bare(stored)) or _Reading(today, stored).whole()


def same_schema(one: Raw, other: Raw) -> bool:
    """Whether two stored schemas describe the same values, whatever they say to people."""
    return bool(_bare(_decoded(one)) == _bare(_decoded(other)))


class _Reading:
    def __init__(self, today: Schema, stored: Schema) -> None:
        self.today = today
        self.stored = stored
        self._open: set[tuple[str, str]] = set()

    def whole(self) -> bool:
        return self._reads(self.today, self.stored)

    def _reads(self, today: Schema | bool, stored: Schema | bool) -> bool:  # noqa: FBT001  JSON Schema has both
        if isinstance(today, bool) or isinstance(stored, bool):
            return today is True or stored is False or today == {}
        pair = (json.dumps(today, sort_keys=True), json.dumps(stored, sort_keys=True))
        if pair in self._open:
            return True  # inside a type that holds itself: true unless something else says no
        self._open.add(pair)
        try:
            return self._reads_resolved(resolved(self.today, today), resolved(self.stored, stored))
        finally:
            self._open.remove(pair)

    def _reads_resolved(self, today: Schema, stored: Schema) -> bool:
        asked = {key for key in today if key not in _IGNORED}
        if not asked:
            return True
        if asked - _STRUCTURE - _LEAST - _MOST - _SAME:
            ours, theirs = (today, self.today.get("$defs")), (stored, self.stored.get("$defs"))
            return all(_bare(mine) == _bare(other) for mine, other in zip(ours, theirs, strict=True))
        if "anyOf" in stored or "oneOf" in stored:
            return all(self._reads(today, each) for each in alternatives(stored))
        if "anyOf" in today or "oneOf" in today:
            return any(self._reads(each, stored) for each in alternatives(today))
        if "const" in stored or "enum" in stored:
            return all(_accepts(today, value) for value in stored.get("enum", [stored.get("const")]))
        if "const" in today or "enum" in today:
            return False
        return self._type_reads(today, stored) and _bounds_hold(today, stored)

    def _type_reads(self, today: Schema, stored: Schema) -> bool:
        ours, theirs = _types(today), _types(stored)
        if ours is None:
            return False
        if theirs is None or not theirs <= (ours | {"integer"} if "number" in ours else ours):
            return False
        if "object" in theirs and not self._object_reads(today, stored):
            return False
        return "array" not in theirs or self._array_reads(today, stored)

    def _object_reads(self, today: Schema, stored: Schema) -> bool:
        ours, theirs = today.get("properties", {}), stored.get("properties", {})
        if not set(today.get("required", ())) <= set(stored.get("required", ())):
            return False
        if not all(self._reads(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()):
            return False
        return self._additional_reads(today, stored, ours, theirs)

    def _additional_reads(self, today: Schema, stored: Schema, ours: Schema, theirs: Schema) -> bool:
        """Members without a name of their own: what was stored under any name must fit wherever it is read."""
        more, stored_more = today.get("additionalProperties", True), stored.get("additionalProperties", True)
        if more is not True:
            unnamed = [theirs[name] for name in theirs.keys() - ours.keys()]
            if not all(self._reads(more, each) for each in unnamed) or not self._reads(more, stored_more):
                return False
        if "additionalProperties" not in stored or stored_more is False:
            return True  # a model that says nothing writes no members but its own
        return all(self._reads(ours[name], stored_more) for name in ours.keys() - theirs.keys())

    def _array_reads(self, today: Schema, stored: Schema) -> bool:
        ours, theirs = today.get("prefixItems"), stored.get("prefixItems")
        if (ours is None) != (theirs is None) and ours is not None:
            return False
        if ours is None:
            stored_items = theirs if theirs is not None else [stored.get("items", True)]
            return all(self._reads(today.get("items", True), each) for each in stored_items)
        assert theirs is not None
        return len(ours) == len(theirs) and all(map(self._reads, ours, theirs))


def _bounds_hold(today: Schema, stored: Schema) -> bool:
    for key in today.keys() & (_LEAST | _MOST | _SAME):
        if key not in stored:
            return False
        if key in _SAME and today[key] != stored[key]:
            return False
        if key in _LEAST and today[key] > stored[key]:
            return False
        if key in _MOST and today[key] < stored[key]:
            return False
    return True


_BY_NAME: Final = frozenset({"properties", "$defs", "patternProperties"})
_JSON_TYPES: Final = {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list}


def _accepts(today: Schema, value: object) -> bool:
    """Whether one known value is accepted; anything but its type and a list of values is not decided here."""
    if today.keys() & (_LEAST | _MOST | _SAME):
        return False
    if "enum" in today or "const" in today:
        return any(type(value) is type(each) and value == each for each in today.get("enum", [today.get("const")]))
    types = _types(today)
    if types is None or types & {"object", "array"}:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number" in types or ("integer" in types and isinstance(value, int))
    return any(isinstance(value, _JSON_TYPES[each]) for each in types - {"integer", "number"})


def _types(schema: Schema) -> set[str] | None:
    found = schema.get("type")
    return None if found is None else {found} if isinstance(found, str) else set(found)


def _bare(schema: Any) -> Any:  # noqa: ANN401  any JSON
    """The schema without what only people read."""
    if isinstance(schema, dict):
        return {
            key: {name: _bare(each) for name, each in value.items()} if key in _BY_NAME else _bare(value)
            for key, value in schema.items()
            if key not in _WORDS
        }
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


def _decoded(schema: Any) -> Any:  # noqa: ANN401  any JSON
    return json.loads(bytes(schema))
