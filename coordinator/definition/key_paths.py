"""Dotted names in the trigger: whether they lead to a field, and whether what it holds can be a key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from amends.coordinator.definition.findings import Finding, finding, nearest
from amends.coordinator.definition.json_schema import Schema, member, resolved, types_of
from amends.coordinator.definition.places import Place

KEYS: Final = frozenset({"string", "integer"})
"""JSON types of what can be a key."""
WORDS: Final = {"array": "a list", "object": "an object", "number": "a number", "boolean": "a bool"}


class KeyPath(NamedTuple):
    """A path as the user gave it, and how what is wrong with it is said."""

    path: str
    option: str
    """As it is written: `Topic(idempotency_key='id')`."""
    is_what: str
    """What must be text or an integer: `a key is`."""
    no_field: str
    """The code of a path that leads nowhere."""
    no_key: str
    """The code of one that leads to what cannot be a key."""


def key_path_findings(key: KeyPath, schema: Schema, *, model: str, at: Place, saga: str) -> Iterator[Finding]:
    """What is wrong with it. `schema` is that of the trigger's model."""
    found = schema_at(schema, key.path)
    if isinstance(found, Missing):
        yield missing(key.no_field, key.option, found, model=model, at=at, saga=saga)
        return
    types = types_of(schema, found)
    if types is not None and not types & KEYS:
        held = " or ".join(sorted(WORDS.get(each, each) for each in types))
        yield finding(
            key.no_key,
            f"{key.option}: the field holds {held}, and {key.is_what} text or an integer",
            do="name a field that holds text or an integer",
            at=at,
            saga=saga,
        )


@dataclass(frozen=True, slots=True)
class Missing:
    """A path leads nowhere: what is not there, and what is."""

    name: str
    known: tuple[str, ...]


def missing(code: str, option: str, found: Missing, *, model: str, at: Place, saga: str) -> Finding:
    """Say so, with the nearest name."""
    return finding(
        code,
        f"{option}: the records of {model} have no field {found.name!r}",
        do=nearest(found.name, found.known),
        at=at,
        saga=saga,
    )


def schema_at(schema: Schema, path: str) -> Schema | Missing:
    """The schema along dotted names; one that allows anything where nothing can be said."""
    current = resolved(schema, schema)
    for name in path.split("."):
        found, known = member(schema, current, name)
        if found is None:
            return Missing(name, known)
        current = resolved(schema, found)
    return current
