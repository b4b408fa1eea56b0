"""Type hints of handlers, resolved in their module, then in the frame that decorated them."""

import collections.abc
import inspect
from collections import ChainMap
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

_AWAITED = (collections.abc.Coroutine, collections.abc.Awaitable)


class Unresolved(Exception):
    """A hint names something that is not there when the module runs."""

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(why)
        self.parameter = parameter
        self.why = why


def resolve(function: Callable[..., Any], frame: FrameType | None) -> dict[str, object]:
    """Hints by parameter, `return` among them; of what awaits, the type awaited. Raises `Unresolved`."""
    inner = inspect.unwrap(function)
    module = getattr(inner, "__globals__", {})
    scope = ChainMap(module, dict(frame.f_locals)) if frame is not None else ChainMap(module)
    resolved: dict[str, object] = {}
    for name, written in getattr(inner, "__annotations__", {}).items():
        try:
            found = get_type_hints(SimpleNamespace(__annotations__={name: written}), module, scope, include_extras=True)
        except Exception as error:  # a hint is any expression of the user's, so it may raise anything
            raise Unresolved(name, f"{written!r}: {type(error).__name__}: {error}") from error
        resolved[name] = found[name]
    if not inspect.iscoroutinefunction(inner) and get_origin(resolved.get("return")) in _AWAITED:
        resolved["return"] = get_args(resolved["return"])[-1]
    return resolved


def awaits(function: Callable[..., Any]) -> bool:
    """Whether a handler must be awaited; a plain wrapper around an async function counts by what it says it returns."""
    inner = inspect.unwrap(function)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner):
        return True
    written = getattr(inner, "__annotations__", {}).get("return")
    return get_origin(written) in _AWAITED
