"""What differs between two definitions. Generic over the form: a field that it is given one day is compared that day.

What identifies (a saga's name and version, a step's path) is what is matched, and so is never a difference.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from amends.coordinator.definition.compatibility import same_schema
from amends.coordinator.definition.form import DefinitionForm, StoredDefinition
from amends.schemas.canonical import encode

What = Literal["saga", "trigger", "step", "schema"]

IDENTITY: Final = frozenset({"name", "version"})
"""Fields of a definition that say which it is; the plan of a deployment shows them by themselves."""
_LEAVES: Final = frozenset({"op", "source"})
"""Members that only conditions and arguments have: they are compared as a whole."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `before` and `after` are plain JSON; null where there is nothing."""

    what: What
    change: Literal["added", "removed", "changed"]
    path: str | None = None
    """The step's; of a schema the handler's name."""
    field: str = ""
    """Dotted, `undo.retry.attempts`; "" for the whole of it."""
    before: Any = None
    after: Any = None


def compared(before: StoredDefinition, after: StoredDefinition) -> tuple[Change, ...]:
    """Every difference, the trigger's first, then those of the whole, of steps, of what handlers read and return."""
    return (*compared_forms(before.form, after.form), *_topics(before, after), *_schemas(before, after))


def compared_forms(before: DefinitionForm, after: DefinitionForm) -> tuple[Change, ...]:
    """The differences of two graphs."""
    return tuple(compared_members(members(before), members(after)))


def compared_members(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """The same of graphs as plain JSON, without what identifies them."""
    yield from _changes("trigger", None, old["trigger"], new["trigger"])
    old_rest, new_rest = (
        {name: each[name] for name in each if name not in {"trigger", "steps"}} for each in (old, new)
    )
    yield from _changes("saga", None, old_rest, new_rest)
    yield from _steps(old["steps"], new["steps"])


def members(form: DefinitionForm) -> dict[str, Any]:
    """A graph as plain JSON, without what identifies it."""
    found = msgspec.to_builtins(form)
    return {name: value for name, value in found.items() if name not in IDENTITY}


def _steps(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> Iterator[Change]:
    old, new = ({step["path"]: step for step in steps} for steps in (before, after))
    kept = [path for path in old if path in new]
    reordered = [path for path in new if path in old]
    if kept != reordered:
        yield Change(what="saga", change="changed", field="steps", before=kept, after=reordered)
    for path in [*old, *(path for path in new if path not in old)]:
        if path not in new:
            yield Change(what="step", change="removed", path=path, before=old[path])
        elif path not in old:
            yield Change(what="step", change="added", path=path, after=new[path])
        else:
            yield from _changes("step", path, old[path], new[path])


def _changes(what: What, path: str | None, before: object, after: object, field: str = "") -> Iterator[Change]:
    if encode(before) == encode(after):
        return
    if isinstance(before, dict) and isinstance(after, dict) and not _is_leaf(before) and not _is_leaf(after):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{field}.{name}" if field else name
            yield from _changes(what, path, before.get(name), after.get(name), inner)
        return
    change: Literal["added", "removed", "changed"] = (
        "added" if before is None else "removed" if after is None else "changed"
    )
    yield Change(what=what, change=change, path=path, field=field, before=before, after=after)


def _is_leaf(value: dict[str, Any]) -> bool:
    """A handler's parameter may be called `source` as well; what it holds is no text."""
    return any(isinstance(value.get(name), str) for name in _LEAVES)


def _topics(before: StoredDefinition, after: StoredDefinition) -> Iterator[Change]:
    """Of commands and answers; their order says nothing."""
    old, new = sorted(before.topics), sorted(after.topics)
    yield from _changes("saga", None, old or None, new or None, "topics")


def _schemas(before: StoredDefinition, after: StoredDefinition) -> Iterator[Change]:
    """Of the handlers that both have; what only people read in a schema does not count."""
    if not same_schema(before.trigger_schema, after.trigger_schema):
        old, new = (json.loads(bytes(each.trigger_schema)) for each in (before, after))
        yield Change(what="trigger", change="changed", field="schema", before=old, after=new)
    for name, handler in before.schemas.items():
        other = after.schemas.get(name)
        if other is None:
            continue
        sides = ({**each.parameters, "return": each.result} for each in (handler, other))
        old_side, new_side = sides
        for each in [*old_side, *(each for each in new_side if each not in old_side)]:
            old_schema, new_schema = old_side.get(each), new_side.get(each)
            if old_schema is not None and new_schema is not None and same_schema(old_schema, new_schema):
                continue
            yield Change(
                what="schema",
                change="added" if old_schema is None else "removed" if new_schema is None else "changed",
                path=name,
                field=each,
                before=None if old_schema is None else json.loads(bytes(old_schema)),
                after=None if new_schema is None else json.loads(bytes(new_schema)),
            )
