"""What stands in a recorded file in place of a value that is somebody's: its shape, and nothing of what it says.

`{"name": "Ann", "age": 41}` is `{"name": "text", "age": 1}`. Names of fields that the definition or a schema knows
stay; other names, those of a mapping that somebody filled, do not. Of lists and mappings each kind of member stands
there once, but where the run's course hangs on them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from amends.coordinator.definition.expression import Expression, accessors, joined
from amends.coordinator.definition.form import CORRELATION, UNTIL, DefinitionForm, StoredDefinition

Way = tuple[str | int, ...]
"""The names and places that lead to a leaf."""
Constant = str | Decimal

TEXT: Final = "text"
NUMBER: Final = 1
FRACTION: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Relevance:
    """What a definition's course hangs on: fields that it reads, and constants that it holds them against."""

    fields: frozenset[str]
    """Dotted, without places; of an item from the item on."""
    constants: tuple[Constant, ...]
    names: frozenset[str]
    """Of fields, as schemas and conditions have them: nobody's data."""
    conditions: tuple[Expression, ...] = ()

    def decides(self, way: Way) -> bool:
        """Whether a condition, a key, an instant or an expectation may read what is there."""
        return not _dotted(way) or any(each in self.fields for each in _ends(way))

    def leads(self, way: Way) -> bool:
        """Whether it may read something there, or further on."""
        return self.decides(way) or any(field.startswith(f"{each}.") for each in _ends(way) for field in self.fields)


def relevance_of(stored: StoredDefinition) -> Relevance:
    """Read it off a definition."""
    fields = {_dotted(accessors(field)) for field in _fields(stored.form)}
    names = {name for field in fields for name in field.split(".")}
    schemas = [stored.trigger_schema]
    for each in stored.schemas.values():
        schemas += [*each.parameters.values(), each.result]
    for schema in schemas:
        names.update(_properties(msgspec.json.decode(schema)))
    constants = dict.fromkeys(_constants(msgspec.to_builtins(stored.form)))
    return Relevance(
        fields=frozenset(fields),
        constants=tuple(constants),
        names=frozenset(names),
        conditions=tuple(_conditions(stored.form)),
    )


def leaves(value: object, way: Way = ()) -> Iterator[tuple[Way, object]]:
    """Everything in a decoded value that holds no other, with the way there."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*way, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*way, place))
    else:
        yield way, value


def leads_to(way: Way, field: str) -> bool:
    """Whether a field of a condition may be what is at the end of this way."""
    dotted = _dotted(accessors(field))
    return dotted == _dotted(way) or dotted in _ends(way)


def placeholder(value: object, relevance: Relevance, chosen: Mapping[Way, object], way: Way = ()) -> object:
    """The value's shape; where something was chosen, that."""
    if way in chosen:
        return chosen[way]
    if isinstance(value, dict):
        known = {
            name: placeholder(inner, relevance, chosen, (*way, name))
            for name, inner in value.items()
            if name in relevance.names
        }
        others = (
            placeholder(inner, relevance, chosen, (*way, name))
            for name, inner in value.items()
            if name not in relevance.names
        )
        return known | {f"name_{number}": inner for number, inner in enumerate(_each_once(others), start=1)}
    if isinstance(value, list):
        members = [placeholder(inner, relevance, chosen, (*way, place)) for place, inner in enumerate(value)]
        return members if relevance.leads(way) else _each_once(members)
    return _leaf(value)


def candidates(value: object, relevance: Relevance) -> list[object]:
    """What may stand there so that the same is decided: constants of the definition and their neighbors, no more."""
    if isinstance(value, bool):
        return [True]
    numbers = [each for each in relevance.constants if isinstance(each, Decimal)]
    texts = [each for each in relevance.constants if isinstance(each, str)]
    near = [each + step for each in numbers for step in (0, -1, 1)] + [Decimal(0), Decimal(2)]
    if isinstance(value, str):
        around = [other for each in texts for other in (each, f"{each}~", each[:-1])]
        return [*dict.fromkeys([*around, *map(str, near), "other"])]
    if isinstance(value, int | float):
        return [int(each) if each == int(each) else float(each) for each in dict.fromkeys(near)]
    return []


def _leaf(value: object) -> object:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return TEXT
    if isinstance(value, float):
        return FRACTION
    return NUMBER if isinstance(value, int) else None


def _each_once(members: Iterable[object]) -> list[object]:
    return [*{json.dumps(each, sort_keys=True): each for each in members}.values()]


def _fields(form: DefinitionForm) -> Iterator[str]:
    """Every way by which the core looks into a value."""
    for lock in form.locks:
        yield lock.field
    for step in form.every_step():
        arguments = step.handler.arguments
        for name in (CORRELATION, UNTIL) if step.wait is not None else ():
            if name in arguments:
                yield arguments[name].field
        if step.each is not None:
            items = arguments["items"].field
            yield from (items, step.each.key, joined(items, step.each.key))
    yield from _references(msgspec.to_builtins(form))


def _conditions(form: DefinitionForm) -> Iterator[Expression]:
    for step in form.every_step():
        if step.when is not None:
            yield step.when
        if step.loop is not None:
            yield step.loop.until


def _references(form: object) -> Iterator[str]:
    for each in _objects(form):
        if each.get("op") == "ref":
            yield str(each["field"])


def _constants(form: object) -> Iterator[Constant]:
    for each in _objects(form):
        value = each.get("value" if each.get("op") == "value" else "text")
        if each.get("op") == "number" or (isinstance(value, int) and not isinstance(value, bool)):
            yield Decimal(str(value))
        elif each.get("op") == "value" and isinstance(value, str):
            yield value


def _properties(schema: object) -> Iterator[str]:
    for each in _objects(schema):
        properties = each.get("properties")
        if isinstance(properties, dict):
            yield from properties


def _objects(value: object) -> Iterator[dict[str, object]]:
    """Every object within."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _objects(inner)


def _dotted(way: Iterable[str | int]) -> str:
    return ".".join(each for each in way if isinstance(each, str))


def _ends(way: Way) -> list[str]:
    """The way, and what of it an item would know: `lines.sku`, `sku`."""
    names = [each for each in way if isinstance(each, str)]
    return [".".join(names[start:]) for start in range(len(names))]
