"""Conditions as the user built them, turned into expressions; and the rules about what may be compared."""

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from amends.coordinator.definition.assignable import assignable
from amends.coordinator.definition.calling import DeclaredCall
from amends.coordinator.definition.declared import DeclaredStep, Draft
from amends.coordinator.definition.expression import (
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Expression,
    Negate,
    Number,
    OneOf,
    Value,
)
from amends.coordinator.definition.expression import Reference as ReferenceTo
from amends.coordinator.definition.fields import (
    NoSuchField,
    follow,
    name_of_type,
    or_none,
    plain,
    type_of_source,
    without_none,
)
from amends.coordinator.definition.findings import Finding, finding, nearest
from amends.coordinator.definition.hints import Unresolved
from amends.coordinator.definition.places import Place
from amends.coordinator.definition.references import (
    Chosen,
    Compared,
    Condition,
    Joined,
    Negated,
    Reference,
    place_of,
    target_of,
)

_UNKNOWN = object()
_EQUALITY = frozenset({"==", "!="})
_ORDERED = (int, float, Decimal, str, date, time, timedelta)
_NO_TEXT = (datetime, time, timedelta)
_FALSE = Value(value=False)


class ConditionReader:
    """Reads the condition of one step or call, noting every broken rule."""

    def __init__(
        self, step: DeclaredStep | DeclaredCall, findings: list[Finding], *, about: Draft | None = None
    ) -> None:
        self.step = step
        self.draft = about or step.draft
        self.findings = findings
        self.at: Place | None = step.spot.place()

    def read(self, condition: object) -> Expression:
        """The expression; where a rule is broken, something in its place."""
        self.at = place_of(condition) or self.at
        if isinstance(condition, Reference):
            expression, kind = self._reference(condition)
            if kind is not _UNKNOWN and without_none(kind)[0] is not bool:
                self._note(f"{condition!r} is {name_of_type(kind)}, not a condition", do="compare it with something")
            return expression
        if isinstance(condition, Condition):
            return self._node(condition.node)
        self._note(
            f"{condition!r} is not a condition",
            do="compare a reference with a value: when=assess.result.verdict == 'refund'",
        )
        return _FALSE

    def _node(self, node: Compared | Chosen | Joined | Negated) -> Expression:
        match node:
            case Compared(left=left, how=how, right=right):
                return self._compared(left, cast("Comparison", how), right)
            case Chosen(left=left, values=values):
                if not isinstance(left, Reference):
                    self._note(f"one_of({left!r}, …) is about no reference", do="name the reference first")
                    return _FALSE
                expression, kind = self._reference(left)
                if not values:
                    self._note(f"one_of({left!r}) names no value", do="name the values it may have")
                return OneOf(left=expression, values=tuple(self._operand(each, kind) for each in values))
            case Joined(how=how, parts=parts):
                inner = tuple(self.read(each) for each in parts)
                return AllOf(parts=inner) if how == "all" else AnyOf(parts=inner)
            case Negated(part=part):
                return Negate(part=self.read(part))

    def _compared(self, left: object, how: Comparison, right: object) -> Expression:
        left_expression, left_kind = self._side(left)
        right_expression, right_kind = self._side(right)
        for kind in (left_kind, right_kind):
            self._refuse_without_order(kind, how)
        if left_expression is None:
            left_expression = self._operand(left, right_kind, how)
        elif right_expression is None:
            right_expression = self._operand(right, left_kind, how)
        elif not (
            assignable(left_kind, right_kind)
            or assignable(right_kind, left_kind)
            or _UNKNOWN in (left_kind, right_kind)
        ):
            self._note(
                f"{left!r} is {name_of_type(left_kind)} and {right!r} is {name_of_type(right_kind)}: never equal",
                do="compare values of one type",
            )
        return Compare(left=left_expression, how=how, right=right_expression or _FALSE)

    def _side(self, side: object) -> tuple[Expression | None, object]:
        return self._reference(side) if isinstance(side, Reference) else (None, _UNKNOWN)

    def _reference(self, reference: Reference) -> tuple[Expression, object]:
        target = target_of(reference)
        name = target.step.path if target.step else None
        if target.draft is not self.draft:
            self.findings.append(
                finding(
                    "AM1020",
                    f"the condition of step {self.step.name!r} refers to {target.text()} of saga {target.draft.name!r}",
                    do=f"refer to steps of {self.draft.name!r}; another saga's results are not here",
                    at=target.spot.place(),
                    saga=self.step.draft.name,
                )
            )
            return _FALSE, _UNKNOWN
        try:
            keys, kind = follow(type_of_source(target), target.names)
        except Unresolved:
            return ReferenceTo(step=name, field=".".join(target.names)), _UNKNOWN
        except NoSuchField as error:
            self.findings.append(
                finding(
                    "AM1030", f"{target.text()}: {error}", do=error.hint, at=target.spot.place(), saga=target.draft.name
                )
            )
            return _FALSE, _UNKNOWN
        return ReferenceTo(step=name, field=".".join(keys)), (or_none(kind) if target.maybe else kind)

    def _operand(self, value: object, kind: object, how: Comparison = "==") -> Expression:
        if isinstance(value, Reference):
            return self._reference(value)[0]
        if how in _EQUALITY or not (_is_number(value) and _is_number_type(kind)):
            self._refuse_impossible(value, kind)
        literal = _literal(value, decimal=plain(without_none(kind)[0]) is Decimal)
        if literal is None:
            self._note(
                f"{value!r} cannot stand in a condition",
                do="compare with text, a number, a bool, None, an enum's member, a date or a UUID; or decide in a read",
            )
        return literal or _FALSE

    def _refuse_without_order(self, kind: object, how: Comparison) -> None:
        bare = without_none(kind)[0]
        if not isinstance(bare, type):
            return
        if how not in _EQUALITY and (bare is bool or not issubclass(bare, _ORDERED)):
            self._note(f"a {name_of_type(bare)} has no order", do="compare it with == or !=")
        elif issubclass(bare, _NO_TEXT):
            self._note(
                f"a {name_of_type(bare)} cannot be compared in a condition: its JSON text does not sort as time does",
                do="compare it in a read step that returns a bool, and refer to that",
            )

    def _refuse_impossible(self, value: object, kind: object) -> None:
        kind = plain(kind)
        if kind is _UNKNOWN or kind is Any:
            return
        try:
            adapter: TypeAdapter[object] = TypeAdapter(kind)  # type: ignore[arg-type]  # any hint of the user's
            adapter.validate_python(value)
        except ValidationError:
            values = _values_of(kind)
            self._note(
                f"{value!r} is never a value of {name_of_type(kind)}",
                do=nearest(str(value), values)
                if values
                else f"compare with a value of {name_of_type(without_none(kind)[0])}",
            )
        except (PydanticUserError, TypeError):
            return  # noted where the type is used

    def _note(self, message: str, *, do: str) -> None:
        self.findings.append(finding("AM1038", message, do=do, at=self.at, saga=self.step.draft.name))


def _literal(value: object, *, decimal: bool) -> Value | Number | None:
    if isinstance(value, enum.Enum):
        return _literal(value.value, decimal=decimal)
    if value is None or isinstance(value, bool | int):
        return Value(value=value)
    if isinstance(value, str):
        return Number(text=value) if decimal else Value(value=value)
    if isinstance(value, float | Decimal):
        exact = Decimal(str(value))
        return Number(text=str(exact)) if exact.is_finite() else None
    if isinstance(value, UUID) or (isinstance(value, date) and not isinstance(value, datetime)):
        return Value(value=str(value))
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_number_type(kind: object) -> bool:
    bare = without_none(kind)[0]
    return isinstance(bare, type) and issubclass(bare, int | float | Decimal) and bare is not bool


def _values_of(kind: object) -> tuple[str, ...]:
    bare = without_none(kind)[0]
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return tuple(str(each.value) for each in bare)
    return tuple(str(each) for each in getattr(bare, "__args__", ()))
