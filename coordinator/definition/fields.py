"""The named fields of a type: what references may lead to, under which key each is written as JSON, and its type."""

import dataclasses
import inspect
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

from amends.coordinator.definition.findings import DefinitionError, nearest
from amends.coordinator.definition.hints import Unresolved
from amends.coordinator.definition.references import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field: the key its value is written under, and its type."""

    key: str
    type: object


class NoSuchField(Exception):
    """A type lacks the field. `known` are those it has; None where it has no named fields at all."""

    def __init__(self, owner: object, name: str, known: tuple[str, ...] | None) -> None:
        super().__init__(f"{name_of_type(owner)} has no field {name!r}")
        self.name = name
        self.known = known

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.known is None:
            return "take the whole value as a parameter, and look into it in the handler"
        return nearest(self.name, self.known)


def follow(owner: object, names: tuple[str, ...]) -> tuple[tuple[str, ...], object]:
    """The JSON keys that lead along these names, and the type found there. Raises `NoSuchField`."""
    keys: list[str] = []
    current = owner
    optional = False
    for name in names:
        current, is_optional = without_none(current)
        optional = optional or is_optional
        found = field_of_type(current, name)
        keys.append(found.key)
        current = found.type
    return tuple(keys), (or_none(current) if optional else current)


def field_of_type(owner: object, name: str) -> Field:
    """One field of a type. Raises `NoSuchField`."""
    known = fields_of(owner)
    if known is None:
        item = _item_type(owner)
        if item is not None and "." not in name:
            return Field(key=name, type=item)
        raise NoSuchField(owner, name, None)
    if name not in known:
        raise NoSuchField(owner, name, tuple(known))
    return known[name]


def fields_of(owner: object) -> dict[str, Field] | None:
    """All fields of a type; None where it has no fixed ones."""
    owner = get_origin(owner) if dataclasses.is_dataclass(get_origin(owner)) else owner
    if inspect.isclass(owner) and issubclass(owner, BaseModel):
        return _model_fields(owner)
    if inspect.isclass(owner) and dataclasses.is_dataclass(owner):
        hints = get_type_hints(owner, include_extras=True)
        return {each.name: Field(key=each.name, type=plain(hints[each.name])) for each in dataclasses.fields(owner)}
    if is_typeddict(owner):
        return {name: Field(key=name, type=plain(hint)) for name, hint in get_type_hints(owner).items()}
    return None


def without_none(hint: object) -> tuple[object, bool]:
    """The type without `None`, and whether it allowed it."""
    hint = plain(hint)
    if get_origin(hint) not in {Union, types.UnionType}:
        return hint, False
    members = tuple(each for each in get_args(hint) if each is not type(None))
    if len(members) == len(get_args(hint)):
        return hint, False
    return Union[members], True  # noqa: UP007  built at run time


def or_none(hint: object) -> object:
    """The type that also allows `None`."""
    return Optional[hint]  # noqa: UP045  built at run time


def plain(hint: object) -> object:
    """A hint without `Annotated[…]` around it."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def name_of_type(hint: object) -> str:
    """As a person would write it."""
    if inspect.isclass(hint) and not get_args(hint):
        return hint.__qualname__.rpartition("<locals>.")[2] if hint is not type(None) else "None"
    if get_origin(hint) in {Union, types.UnionType}:
        return " | ".join(name_of_type(each) for each in get_args(hint))
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if inspect.isclass(origin) and arguments:
        return f"{origin.__qualname__}[{', '.join(name_of_type(each) for each in arguments)}]"
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")


def refuse_unknown_field(target: Target) -> None:
    """Raise `DefinitionError` (AM1030) for a field that is not there; types that don't resolve yet wait for closing."""
    try:
        owner = type_of_source(target)
    except Unresolved:
        return
    try:
        follow(owner, target.names)
    except NoSuchField as error:
        raise DefinitionError.of(
            "AM1030", f"{target.text()}: {error}", do=error.hint, at=target.spot.place(), saga=target.draft.name
        ) from None


def type_of_source(target: Target) -> object:
    """The type of the whole value a reference leads into. Raises `Unresolved`."""
    return target.draft.topic.model if target.step is None else target.step.result_type()


def _model_fields(model: type[BaseModel]) -> dict[str, Field]:
    if not model.__pydantic_complete__:
        model.model_rebuild(raise_errors=False)
    found = {
        name: Field(key=each.serialization_alias or each.alias or name, type=each.annotation)
        for name, each in model.model_fields.items()
    }
    for name, each in model.model_computed_fields.items():
        found[name] = Field(key=each.alias or name, type=each.return_type)
    return found


def _item_type(owner: object) -> object:
    """What a mapping from text holds; None for anything else."""
    origin, arguments = get_origin(owner) or owner, get_args(owner)
    if owner is Any:
        return Any
    if inspect.isclass(origin) and issubclass(origin, dict | types.MappingProxyType):
        key, item = arguments or (str, Any)
        return item if key is str else None
    return None
