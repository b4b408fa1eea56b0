"""References: what stands for a value while a saga is declared, and the conditions built from them.

To a type checker `step.result` *is* the step's result, so `x: Reversal = reverse.result` is checked; at run time it
is a `Reference`, which knows where the value will come from and refuses to be used as if it were there already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.places import Place, Spot, calling_frame, spot_of

if TYPE_CHECKING:
    from amends.coordinator.definition.calling import DeclaredCall
    from amends.coordinator.definition.declared import DeclaredStep, Draft

T = TypeVar("T")

_NO_VALUE = "it has no value while the saga is declared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a reference points to. `step` is None for the trigger; `names` lead into the value."""

    draft: "Draft"
    step: "DeclaredStep | DeclaredCall | None"
    maybe: bool = False
    names: tuple[str, ...] = ()
    spot: Spot

    def text(self) -> str:
        """As the user wrote it."""
        start = (
            f"{self.draft.name}.trigger"
            if self.step is None
            else f"{self.step.name}.{'maybe' if self.maybe else 'result'}"
        )
        return ".".join((start, *self.names))


class _Conditional:
    """What references and conditions have in common: `&` and `|`, and no truth value of their own."""

    __slots__ = ()

    def __and__(self, other: object) -> "Condition":
        return Condition(Joined(how="all", parts=(*_parts("all", self), *_parts("all", other))), _spot())

    def __or__(self, other: object) -> "Condition":
        return Condition(Joined(how="any", parts=(*_parts("any", self), *_parts("any", other))), _spot())

    __rand__ = __and__
    __ror__ = __or__

    def __bool__(self) -> NoReturn:
        raise _misuse(
            self,
            "was asked for its truth",
            do="combine conditions with & and |, use negate(…) for not, one_of(…) for in, and compare in pairs",
        )

    def __invert__(self) -> NoReturn:
        raise _misuse(self, "was inverted with ~", do="use negate(…)")


class Reference(_Conditional):
    """Stands for a value of the trigger or of a step's result. Fields are references again."""

    __slots__ = ("_target",)
    _target: Target

    def __init__(self, target: Target) -> None:
        object.__setattr__(self, "_target", target)

    def __getattr__(self, name: str) -> "Reference":
        if name.startswith("_"):
            raise AttributeError(name)
        return self._field(name)

    def __getitem__(self, name: object) -> "Reference":
        if not isinstance(name, str):
            raise _misuse(
                self,
                f"was asked for item {name!r}",
                do="only named fields can be referred to; take the whole value and index it in the handler",
            )
        return self._field(name)

    def _field(self, name: str) -> "Reference":
        from amends.coordinator.definition.fields import refuse_unknown_field  # noqa: PLC0415  they refer to each other

        old = self._target
        target = Target(draft=old.draft, step=old.step, maybe=old.maybe, names=(*old.names, name), spot=_spot())
        refuse_unknown_field(target)
        return Reference(target)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise _misuse(
            self, f"was assigned to (.{name})", do="results are values of their own; change them in a handler"
        )

    def __eq__(self, other: object) -> "Condition":  # type: ignore[override]
        return _compared(self, "==", other)

    def __ne__(self, other: object) -> "Condition":  # type: ignore[override]
        return _compared(self, "!=", other)

    def __lt__(self, other: object) -> "Condition":
        return _compared(self, "<", other)

    def __le__(self, other: object) -> "Condition":
        return _compared(self, "<=", other)

    def __gt__(self, other: object) -> "Condition":
        return _compared(self, ">", other)

    def __ge__(self, other: object) -> "Condition":
        return _compared(self, ">=", other)

    __hash__ = object.__hash__

    def one_of(self, *values: object) -> "Condition":
        """`one_of`, as type checkers do not see it: to them a reference is the value, which has no such method."""
        return Condition(Chosen(left=self, values=values), _spot())

    def __call__(self, *_args: object, **_named: object) -> NoReturn:
        raise _misuse(self, "was called", do="call functions in handlers, where the value is there")

    def __iter__(self) -> NoReturn:
        raise _misuse(self, "was iterated over", do="take the whole value as a parameter and iterate in the handler")

    def __contains__(self, _item: object) -> NoReturn:
        raise _misuse(self, "was searched with `in`", do="use one_of(…), or a read step that looks")

    def __repr__(self) -> str:
        return f"<reference {self._target.text()}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """`left how right`; either side may be a reference or a plain value."""

    left: object
    how: str
    right: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`one_of(left, *values)`."""

    left: object
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """`&` and `|`."""

    how: str
    parts: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negated:
    """`negate(…)`."""

    part: object


class Condition(_Conditional):
    """Built by comparing references; becomes data in the intermediate form."""

    __slots__ = ("node", "spot")

    def __init__(self, node: Compared | Chosen | Joined | Negated, spot: Spot) -> None:
        self.node = node
        self.spot = spot

    def __repr__(self) -> str:
        return "<condition>"

    def __call__(self, *_args: object, **_named: object) -> NoReturn:
        raise _misuse(self, "was called", do="pass it as when=…")


def negate(condition: bool) -> bool:  # noqa: FBT001  to a type checker a condition is a bool
    """The condition that holds where this one does not."""
    return cast("bool", Condition(Negated(part=condition), _spot()))


def one_of(reference: T, *values: T) -> bool:
    """The condition that the reference's value equals one of these."""
    return cast("bool", Condition(Chosen(left=reference, values=values), _spot()))


def target_of(reference: Reference) -> Target:
    """What a reference points to."""
    return object.__getattribute__(reference, "_target")  # type: ignore[no-any-return]


def place_of(value: object) -> Place | None:
    """Where a reference or a condition was written."""
    if isinstance(value, Reference):
        return target_of(value).spot.place()
    return value.spot.place() if isinstance(value, Condition) else None


def refuse_left_references(function: Callable[..., Any], bound: dict[str, object]) -> None:
    """Raise `DefinitionError` (AM1037) where a direct call of a handler left a reference in the place of a value."""
    for name, value in bound.items():
        if isinstance(value, Reference | Condition):
            raise DefinitionError.of(
                "AM1037",
                f"{function.__name__}() was called with {value!r} for {name!r}: {_NO_VALUE}",
                do=f"pass a value: {function.__name__}(…, {name}=…)",
                at=_spot().place(),
            )


def _compared(left: Reference, how: str, right: object) -> Condition:
    return Condition(Compared(left=left, how=how, right=right), _spot())


def _parts(how: str, value: object) -> tuple[object, ...]:
    if isinstance(value, Condition) and isinstance(value.node, Joined) and value.node.how == how:
        return value.node.parts
    return (value,)


def _misuse(value: object, what: str, *, do: str) -> DefinitionError:
    return DefinitionError.of("AM1037", f"{value!r} {what}: {_NO_VALUE}", do=do, at=_spot().place())


def _spot() -> Spot:
    return spot_of(calling_frame())
