"""Where in the user's code something was said: file, line and column, found only when somebody has to be told."""

import ast
import inspect
import linecache
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OURS = "amends.coordinator.definition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position in a file, line and column counted from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Spot:
    """The instruction at which our function was called; its place is worked out on demand."""

    code: CodeType
    instruction: int
    line: int

    def place(self) -> Place:
        """Line and column of the expression that was being evaluated."""
        position = next(islice(self.code.co_positions(), self.instruction // 2, None), None)
        if position is None or position[0] is None or position[2] is None:
            return Place(file=self.code.co_filename, line=self.line)
        return Place(file=self.code.co_filename, line=position[0], column=position[2] + 1)


def calling_frame() -> FrameType:
    """The innermost frame outside this package: the user's own."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not (name == _OURS or name.startswith(f"{_OURS}.")):
            return frame
        frame = frame.f_back
    raise RuntimeError("called from nowhere")


def spot_of(frame: FrameType) -> Spot:
    """Remember where a frame stands."""
    return Spot(frame.f_code, frame.f_lasti, frame.f_lineno)


def place_of_function(function: Callable[..., Any]) -> Place:
    """Where its `def` stands; of something without source, as much as is known."""
    found = _definition(function)
    code = _code(function)
    if found is not None:
        name_at = found.col_offset + len("async def " if isinstance(found, ast.AsyncFunctionDef) else "def ")
        return Place(file=code.co_filename if code else "?", line=found.lineno, column=name_at + 1)
    if code is not None:
        return Place(file=code.co_filename, line=code.co_firstlineno)
    return Place(file="?", line=1)


def place_of_parameter(function: Callable[..., Any], parameter: str) -> Place:
    """Where a parameter stands (for `return`, its annotation); else where the function does."""
    found, code = _definition(function), _code(function)
    if found is None or code is None:
        return place_of_function(function)
    if parameter == "return":
        node: ast.expr | ast.arg | None = found.returns
    else:
        node = next((each for each in _arguments(found.args) if each.arg == parameter), None)
    if node is None:
        return place_of_function(function)
    return Place(file=code.co_filename, line=node.lineno, column=node.col_offset + 1)


def shown(file: str) -> str:
    """The file as a person near it calls it: relative where it lies below the working folder."""
    try:
        path = Path(file)
        here = Path.cwd()
        return str(path.relative_to(here)) if path.is_relative_to(here) else file
    except OSError:
        return file


def _code(function: Callable[..., Any]) -> CodeType | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _definition(function: Callable[..., Any]) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    code = _code(function)
    if code is None or not os.path.isabs(code.co_filename):  # noqa: PTH117  it may be "<stdin>"
        return None
    lines = linecache.getlines(code.co_filename)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from arguments.posonlyargs
    yield from arguments.args
    yield from arguments.kwonlyargs
    if arguments.vararg:
        yield arguments.vararg
    if arguments.kwarg:
        yield arguments.kwarg
