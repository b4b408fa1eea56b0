"""Small readings of JSON Schema (2020-12), as pydantic writes it."""

from typing import Any

Schema = dict[str, Any]

ANYTHING: Schema = {}


def resolved(root: Schema, schema: Schema) -> Schema:
    """Follow `$ref` into the root's `$defs`; what stands beside it counts as well."""
    seen = 0
    while "$ref" in schema and seen < 100:  # noqa: PLR2004  a chain of references never is that long
        target = root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"), ANYTHING)
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        seen += 1
    return schema


def alternatives(schema: Schema) -> tuple[Schema, ...]:
    """The members of `anyOf` or `oneOf`; the schema itself where it has none."""
    return tuple(schema.get("anyOf") or schema.get("oneOf") or (schema,))


def member(root: Schema, schema: Schema, name: str) -> tuple[Schema | None, tuple[str, ...]]:
    """The schema of a named member, and the names there are. None where objects can't have it, `{}` where unknown."""
    known: list[str] = []
    for each in alternatives(schema):
        option = resolved(root, each)
        if option is not each and ("anyOf" in option or "oneOf" in option):
            found, names = member(root, option, name)
            if found is not None:
                return found, names
            known.extend(names)
            continue
        properties = option.get("properties", {})
        if name in properties:
            return properties[name], tuple(properties)
        extra = option.get("additionalProperties", False)
        if extra is True or (not option.keys() - {"title", "description"}):
            return ANYTHING, ()
        if isinstance(extra, dict):
            return extra, ()
        known.extend(properties)
    return None, tuple(known)


def types_of(root: Schema, schema: Schema) -> set[str] | None:
    """JSON types a value may have, `null` apart; None where anything goes."""
    found: set[str] = set()
    for each in alternatives(schema):
        option = resolved(root, each)
        if option is not each and ("anyOf" in option or "oneOf" in option):
            inner = types_of(root, option)
            if inner is None:
                return None
            found |= inner
        elif "type" in option:
            found |= {option["type"]} if isinstance(option["type"], str) else set(option["type"])
        elif "enum" in option or "const" in option:
            found |= {_type_of(value) for value in option.get("enum", [option.get("const")])}
        else:
            return None
    return found - {"null"}


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "number"
