"""What a handler raised, in words: the exception's kind and text, and the line of the app that it came through.

The place stands in the message, not in a worker's log, because the message stays with the run: `runs show`, a parked
run and an outcome say it on any machine, a week later, without a log to search. It names a file of the app alone, seen
from the folder that the app is imported from, so neither a path of the machine nor a library's insides get into it.
"""

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, Final

from amends.coordinator.failures import told_by

_LIBRARIES: Final = {"site-packages", "dist-packages"}
_OURS: Final = ("amends.coordinator.", "amends.connectors.")


def raised_in(error: BaseException) -> str:
    """`KeyError: 'sku'`; of a group also the first error in it."""
    what = f"{type(error).__name__}: {told_by(error)}".removesuffix(": ")
    first = _first(error)
    return what if first is error else f"{what}, first {raised_in(first)}"


def place_in(error: BaseException, function: Callable[..., Any]) -> str:
    """`sagas.py:41`, the innermost line of the handler's app that the error came through; empty if it was none."""
    root = _root(function)
    return "" if root is None else _place(_first(error), root) or _place(error, root)


def _first(error: BaseException) -> BaseException:
    """Of a group the first error that is none."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _place(error: BaseException, root: Path) -> str:
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if not file.is_relative_to(root) or frame.f_globals.get("__name__", "").startswith(_OURS):
            continue
        own = file.relative_to(root)
        if _LIBRARIES.isdisjoint(own.parts):
            found = f"{own}:{line}"
    return found


def _root(function: Callable[..., Any]) -> Path | None:
    """The folder that the handler's module is imported from."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if not isinstance(code, CodeType):
        return None
    file = Path(code.co_filename)
    levels = function.__module__.count(".") + (file.name == "__init__.py")
    return file.parents[levels] if file.is_absolute() and levels < len(file.parents) else None
