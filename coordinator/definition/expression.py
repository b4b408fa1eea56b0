"""The expression language of conditions: small, total, data.

An expression reads the trigger and the results of earlier steps and yields a truth value. Total means: it always
ends, and it never raises. A field that is not there is null; null equals only null and has no order; numbers compare
by value, so `1`, `1.0` and a decimal's text against a number agree; text that holds numbers has their order.
"""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, Literal, assert_never

import msgspec

Scalar = str | int | bool | None
Comparison = Literal["==", "!=", "<", "<=", ">", ">="]

_PLACES: Final = re.compile(r"(.*?)((?:\[[0-9]+\])*)", re.DOTALL)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Value(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="value"):
    """A literal."""

    value: Scalar


class Number(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="number"):
    """A literal that is not a whole number, as decimal text."""

    text: str


class Reference(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="ref"):
    """A value of the trigger (`step` is null) or of a step's result; `field` is a dotted way into it, "" the whole."""

    step: str | None
    field: str


class Compare(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="compare"):
    """`left how right`."""

    left: "Expression"
    how: Comparison
    right: "Expression"


class OneOf(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="one_of"):
    """Whether `left` equals any of `values`."""

    left: "Expression"
    values: tuple["Expression", ...]


class AllOf(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="all"):
    """`&`."""

    parts: tuple["Expression", ...]


class AnyOf(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="any"):
    """`|`."""

    parts: tuple["Expression", ...]


class Negate(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="not"):
    """`negate(…)`."""

    part: "Expression"


Expression = Value | Number | Reference | Compare | OneOf | AllOf | AnyOf | Negate

Lookup = Callable[[str | None], object]
"""Gives the decoded trigger (for None) or the decoded result of a step; None where there is none."""


def holds(expression: Expression, lookup: Lookup) -> bool:
    """Evaluate a condition. Anything but a plain `true` counts as false."""
    return _evaluate(expression, lookup) is True


def references(expression: Expression) -> tuple[Reference, ...]:
    """Every reference in the expression, in reading order."""
    match expression:
        case Reference():
            return (expression,)
        case Value() | Number():
            return ()
        case Compare(left=left, right=right):
            return references(left) + references(right)
        case OneOf(left=left, values=values):
            return references(left) + tuple(found for value in values for found in references(value))
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return tuple(found for part in parts for found in references(part))
        case Negate(part=part):
            return references(part)
    assert_never(expression)


def with_references(expression: Expression, of: Callable[[Reference], Reference]) -> Expression:
    """The same expression over other values: each reference replaced by what `of` gives for it."""
    match expression:
        case Reference():
            return of(expression)
        case Value() | Number():
            return expression
        case Compare(left=left, how=how, right=right):
            return Compare(left=with_references(left, of), how=how, right=with_references(right, of))
        case OneOf(left=left, values=values):
            return OneOf(left=with_references(left, of), values=tuple(with_references(each, of) for each in values))
        case AllOf(parts=parts):
            return AllOf(parts=tuple(with_references(each, of) for each in parts))
        case AnyOf(parts=parts):
            return AnyOf(parts=tuple(with_references(each, of) for each in parts))
        case Negate(part=part):
            return Negate(part=with_references(part, of))
    assert_never(expression)


def _evaluate(expression: Expression, lookup: Lookup) -> object:
    match expression:
        case Value(value=value):
            return value
        case Number(text=text):
            return Decimal(text)
        case Reference(step=step, field=field):
            return field_of(lookup(step), field)
        case Compare(left=left, how=how, right=right):
            return _compare(_evaluate(left, lookup), how, _evaluate(right, lookup))
        case OneOf(left=left, values=values):
            found = _evaluate(left, lookup)
            return any(_equal(found, _evaluate(value, lookup)) for value in values)
        case AllOf(parts=parts):
            return all(_evaluate(part, lookup) is True for part in parts)
        case AnyOf(parts=parts):
            return any(_evaluate(part, lookup) is True for part in parts)
        case Negate(part=part):
            return _evaluate(part, lookup) is not True
    assert_never(expression)


def field_of(value: object, field: str) -> object:
    """Follow dotted names and `[2]` into decoded JSON; None where the way ends early."""
    if not field:
        return value
    for name in accessors(field):
        if isinstance(name, int):
            value = value[name] if isinstance(value, list) and name < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


def accessors(field: str) -> tuple[str | int, ...]:
    """The names and places of a way: `lines[2].sku` is `lines`, 2, `sku`."""
    return tuple(field.split(".")) if "[" not in field else _with_places(field)


def joined(outer: str, inner: str) -> str:
    """The way that goes on where the outer one leads; either may be empty."""
    return ".".join(each for each in (outer, inner) if each)


@lru_cache(maxsize=4_096)
def _with_places(field: str) -> tuple[str | int, ...]:
    found: list[str | int] = []
    for part in field.split("."):
        name, places = _PLACES.fullmatch(part).groups()  # type: ignore[union-attr]  # it takes any text
        found += [name] if name else []
        found += [int(place) for place in places.strip("[]").split("][") if place]
    return tuple(found)


def _compare(left: object, how: Comparison, right: object) -> bool:
    if how == "==":
        return _equal(left, right)
    if how == "!=":
        return not _equal(left, right)
    pair = _in_order(left, right)
    if pair is None:
        return False
    less, equal = pair[0] < pair[1], pair[0] == pair[1]  # type: ignore[operator]
    return bool({"<": less, "<=": less or equal, ">": not less and not equal, ">=": not less}[how])


def _equal(left: object, right: object) -> bool:
    """By value where one is a number; two texts only if they are the same: 007 and 7 are two articles."""
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    numbers = _numbers(left, right)
    if numbers is not None:
        return numbers[0] == numbers[1]
    return type(left) is type(right) and left == right


def _in_order(left: object, right: object) -> tuple[object, object] | None:
    """Both as numbers if they are, be it as text (9.50 comes before 10.00), else both as text; None if neither."""
    numbers = _numbers(left, right)
    if numbers is None and isinstance(left, str) and isinstance(right, str):
        return left, right
    return numbers


def _numbers(left: object, right: object) -> tuple[Decimal, Decimal] | None:
    first, second = _number(left), _number(right)
    return None if first is None or second is None else (first, second)


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    if isinstance(value, str) and _DECIMAL.fullmatch(value) is None:
        return None
    try:
        number = Decimal(value) if isinstance(value, int) else Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
