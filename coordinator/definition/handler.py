"""A handler ready to run: binds stored JSON to its parameters, and writes its result as JSON that reads back equal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from amends.coordinator.context import Context
from amends.coordinator.definition.declared import Role
from amends.coordinator.definition.expression import accessors

_NULL: Final = b"null"
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])


class ArgumentUnreadable(Exception):
    """A stored value does not fit the handler's parameter; the handler was not called."""


class InvalidResult(Exception):
    """What the handler returned cannot be written as JSON, or does not read back equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One of the user's functions. `name` is its registered name: `reserve`, `reserve.undo.verify`."""

    name: str
    role: Role
    function: Callable[..., Any]
    is_async: bool
    dependency: object
    """The participant it acts on, as it was declared; None without one. Sync handlers share a pool per name."""
    dependency_name: str | None
    takes_context: bool
    parameters: tuple[tuple[str, TypeAdapter[Any]], ...]
    """What is read from JSON, the context apart."""
    result: TypeAdapter[Any] | None
    """None where the result is not used: an undo's."""

    def bind(self, values: Mapping[str, bytes | None], context: Context | None) -> dict[str, Any]:
        """Read each parameter's JSON, once. None (unknown, skipped) reads as null; `context` only if it takes one.

        A value is the parameter's own: where the form's argument has a `field`, `field_of_json` took it out before.
        Raises `ArgumentUnreadable`.
        """
        bound: dict[str, Any] = {"ctx": context} if self.takes_context else {}
        for name, adapter in self.parameters:
            data = values.get(name)
            try:
                bound[name] = adapter.validator.validate_json(_NULL if data is None else data)
            except ValidationError as error:
                raise ArgumentUnreadable(f"parameter {name!r} of {self.name!r}: {told(error)}") from None
            except Exception as error:  # noqa: BLE001  validators are the user's
                what = f"{type(error).__name__}: {_first(error)}"
                raise ArgumentUnreadable(f"parameter {name!r} of {self.name!r}: {what}") from None
        return bound

    def write(self, result: object) -> bytes:
        """JSON text of what the handler returned. Raises `InvalidResult`."""
        adapter = self.result
        if adapter is None or (result is None and self.role == "lookup"):
            return _NULL
        try:
            data = adapter.serializer.to_json(result, by_alias=True, warnings="error")
            again = adapter.validator.validate_json(data)
        except PydanticSerializationError as error:
            raise InvalidResult(
                f"{self.name!r} returned {_kind(result)}, which is not what it declares: {_first(error)}"
            ) from None
        except ValidationError as error:
            raise InvalidResult(f"what {self.name!r} returned does not read back from JSON: {told(error)}") from None
        except Exception as error:  # noqa: BLE001  serializers and validators are the user's
            raise InvalidResult(f"what {self.name!r} returned cannot be written as JSON: {_first(error)}") from None
        if not _equal(again, result):
            raise InvalidResult(f"what {self.name!r} returned does not read back equal from JSON ({_kind(result)})")
        return data


def field_of_json(data: bytes, field: str) -> bytes | None:
    """The JSON text found along dotted names and `[2]`; None where the way ends early. The empty way is the whole."""
    if not field:
        return data
    for name in accessors(field):
        try:
            found = _items.decode(data)[name] if isinstance(name, int) else _members.decode(data).get(name)
        except (msgspec.ValidationError, IndexError):
            return None  # not an object, or a list without that item
        if found is None:
            return None
        data = bytes(found)
    return data


def told(error: ValidationError) -> str:
    """A validation error in one line, with its path and without the value: that may be secret."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(each) for each in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{path}: {first['msg']}{more}" if path else f"{first['msg']}{more}"


def _equal(again: object, result: object) -> bool:
    try:
        return bool(again == result)
    except Exception:  # noqa: BLE001  __eq__ is the user's
        return False


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _first(error: Exception) -> str:
    """The error's text without the value it quotes."""
    try:
        text = str(error).partition("[input_value=")[0]
    except Exception:  # noqa: BLE001  __str__ is the user's
        text = type(error).__name__
    return " ".join(
        text.replace("Pydantic serializer warnings:", "").replace("PydanticSerializationUnexpectedValue(", "").split()
    ).strip(" :")
