"""The step objects that decorators make: plain callables for tests, and the source of typed references.

To a type checker `step.result` is the step's result and `step.maybe` that or None; see `references.py`.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from amends.coordinator.definition.declared import DeclaredHandler, DeclaredStep, DeclaredUndo, Draft, Role
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.options import (
    LookupOptions,
    UndoOptions,
    VerifyOptions,
    doubt_of,
    optional_ms,
    pending_ms,
    refuse_unknown,
    retry_of,
    timeout_ms,
)
from amends.coordinator.definition.places import calling_frame, spot_of
from amends.coordinator.definition.policies import bad_option, here
from amends.coordinator.definition.references import Reference, Target, refuse_left_references

P = ParamSpec("P")
Q = ParamSpec("Q")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")
S = TypeVar("S")
V = TypeVar("V", bound=bool | Coroutine[Any, Any, bool])


class Called(Generic[P, C]):
    """A handler as its module sees it: still the function it was, callable with values."""

    def __init__(self, declared: DeclaredHandler) -> None:
        self._declared = declared
        self._signature: inspect.Signature | None = None
        functools.update_wrapper(self, declared.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function itself. Raises `DefinitionError` (AM1037) where a reference was left in a value's place."""
        function = self._declared.function
        if self._signature is None:
            self._signature = inspect.signature(function)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        refuse_left_references(function, bound.arguments)
        return cast("C", function(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<{self._declared.role} {self._declared.label}>"


class Read(Called[P, C], Generic[P, C, R]):
    """A step that changes nothing."""

    def __init__(self, step: DeclaredStep) -> None:
        super().__init__(step.handler)
        self._step = step

    @property
    def result(self) -> R:
        """Stands for the step's result, as a parameter's default or in a condition."""
        return cast("R", self._reference(maybe=False))

    @property
    def maybe(self) -> R | None:
        """Like `result`, None where the step was skipped or what it returned is not known."""
        return cast("R | None", self._reference(maybe=True))

    def _reference(self, *, maybe: bool) -> Reference:
        return Reference(Target(draft=self._step.draft, step=self._step, maybe=maybe, spot=spot_of(calling_frame())))


class Undo(Called[P, C], Generic[P, C]):
    """An undo, or a follow-up."""

    def __init__(self, undo: DeclaredUndo, step: DeclaredStep) -> None:
        super().__init__(undo.handler)
        self._undo = undo
        self._step = step

    @overload
    def verify(self, function: Callable[Q, V], /) -> Called[Q, V]: ...
    @overload
    def verify(self, /, **options: Unpack[VerifyOptions]) -> "VerifyDecorator": ...
    def verify(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare how to read back from the world whether the step is really undone."""

        def declare(function: Callable[..., Any]) -> Called[..., Any]:
            refuse_twice(self._step, "undo.verify", self._undo.verify)
            if self._undo.reply:
                raise bad_option(
                    "undo", "verify", '"reply" was said, so no read-back is asked', do='take verify="reply" away'
                )
            refuse_unknown("verify", options, VerifyOptions)
            self._undo.verify = verify_handler("undo.verify", function, options)
            return Called(self._undo.verify)

        return declare if function is None else declare(function)


class Action(Read[P, C, R], Generic[P, C, R]):
    """A step that changes the world."""

    @overload
    def verify(self, function: Callable[Q, V], /) -> Called[Q, V]: ...
    @overload
    def verify(self, /, **options: Unpack[VerifyOptions]) -> "VerifyDecorator": ...
    def verify(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare how to read back from the world whether the step achieved what it claims."""

        def declare(function: Callable[..., Any]) -> Called[..., Any]:
            refuse_twice(self._step, "verify", self._step.verify)
            refuse_unknown("verify", options, VerifyOptions)
            self._step.verify = verify_handler("verify", function, options)
            return Called(self._step.verify)

        return declare if function is None else declare(function)

    @overload
    def lookup(self: "Action[..., Any, None]", function: Callable[Q, V], /) -> Called[Q, V]: ...
    @overload
    def lookup(
        self, function: Callable[Q, Coroutine[Any, Any, R | None]], /
    ) -> Called[Q, Coroutine[Any, Any, R | None]]: ...
    @overload
    def lookup(self, function: Callable[Q, R | None], /) -> Called[Q, R | None]: ...
    @overload
    def lookup(self: "Action[..., Any, None]", /, **options: Unpack[LookupOptions]) -> "VerifyDecorator": ...
    @overload
    def lookup(self, /, **options: Unpack[LookupOptions]) -> "LookupDecorator[R]": ...
    def lookup(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare how to find out by the key whether the step happened: its result or None; a bool if it has none."""

        def declare(function: Callable[..., Any]) -> Called[..., Any]:
            refuse_twice(self._step, "lookup", self._step.lookup)
            refuse_unknown("lookup", options, LookupOptions)
            self._step.lookup = handler_of("lookup", function, options)
            return Called(self._step.lookup)

        return declare if function is None else declare(function)

    @overload
    def undo(self, function: Callable[Q, D], /) -> Undo[Q, D]: ...
    @overload
    def undo(self, /, **options: Unpack[UndoOptions]) -> "UndoDecorator": ...
    def undo(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare the one action that reverses this step."""
        return self._undone("undo", function, options)

    @overload
    def follow_up(self, function: Callable[Q, D], /) -> Undo[Q, D]: ...
    @overload
    def follow_up(self, /, **options: Unpack[UndoOptions]) -> "UndoDecorator": ...
    def follow_up(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare what makes amends for an irreversible step: a correction, an apology."""
        return self._undone("follow_up", function, options)

    def _undone(self, how: str, function: Callable[..., Any] | None, options: dict[str, Any]) -> Any:  # noqa: ANN401
        def declare(function: Callable[..., Any]) -> Undo[..., Any]:
            step = self._step
            refuse_twice(step, "undo", step.undo.handler if step.undo else None)
            refuse_unknown(how, options, UndoOptions)
            if options.get("verify", "reply") != "reply":
                raise bad_option(
                    how,
                    "verify",
                    f"{options['verify']!r} is unknown",
                    do='say "reply", or declare a read-back with .verify',
                )
            step.undo = DeclaredUndo(
                handler=handler_of("undo", function, options, owner=how),
                follow_up=how == "follow_up",
                reply="verify" in options,
                retry=retry_of(how, options),
                verify_within_ms=optional_ms(how, options, "verify_within"),
                doubt=doubt_of(how, options),
                pending_within_ms=pending_ms(how, options),
            )
            return Undo(step.undo, step)

        return declare if function is None else declare(function)


def function_name(called: Called[..., Any]) -> str:
    """The name of the user's function."""
    return called._declared.function.__name__  # noqa: SLF001


class VerifyDecorator(Protocol):
    """What `@step.verify(…)` leaves to be applied."""

    def __call__(self, function: Callable[Q, V], /) -> Called[Q, V]: ...


class LookupDecorator(Protocol[S]):
    """What `@step.lookup(…)` leaves to be applied."""

    @overload
    def __call__(
        self, function: Callable[Q, Coroutine[Any, Any, S | None]], /
    ) -> Called[Q, Coroutine[Any, Any, S | None]]: ...
    @overload
    def __call__(self, function: Callable[Q, S | None], /) -> Called[Q, S | None]: ...


class UndoDecorator(Protocol):
    """What `@step.undo(…)` leaves to be applied."""

    def __call__(self, function: Callable[Q, D], /) -> Undo[Q, D]: ...


def handler_of(
    role: Role, function: Callable[..., Any], options: dict[str, Any], *, owner: str = ""
) -> DeclaredHandler:
    """Declare one handler. Raises `DefinitionError` (AM1040) for what is no function."""
    owner = owner or role
    refuse_no_function(owner, function)
    declared = DeclaredHandler(role=role, function=function, frame=calling_frame())
    declared.timeout_ms = timeout_ms(owner, options, declared.timeout_ms)
    return declared


def verify_handler(role: Role, function: Callable[..., Any], options: dict[str, Any]) -> DeclaredHandler:
    """Declare a read-back."""
    declared = handler_of(role, function, options, owner="verify")
    declared.within_ms = optional_ms("verify", options, "verify_within")
    declared.verify_after_ms = optional_ms("verify", options, "verify_after") or 0
    return declared


def refuse_no_function(role: str, function: object) -> None:
    """Raise `DefinitionError` (AM1040) unless this is a plain or an async function."""
    inner = inspect.unwrap(function) if callable(function) else function
    what = None
    if isinstance(function, Called):
        what = "is a handler already: write a function of its own"
    elif not inspect.isfunction(inner):
        what = "is no function"
    elif inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        what = "is a generator"
    if what:
        name = getattr(function, "__name__", repr(function))
        raise DefinitionError.of(
            "AM1040",
            f"{name} cannot be a {role}: it {what}",
            do="decorate a `def` or an `async def` that returns its result",
            at=here(),
        )


def refuse_twice(step: DeclaredStep, role: str, declared: DeclaredHandler | None) -> None:
    """Raise `DefinitionError` where the step has such a handler already (AM1005), or its saga is closed (AM1007)."""
    refuse_closed(step.draft)
    if declared is not None:
        raise DefinitionError.of(
            "AM1005",
            f"step {step.name!r} has a second {role}; the first is {declared.label} at {declared.place}",
            do="keep one of them",
            at=here(),
            saga=step.draft.name,
        )


def refuse_closed(draft: Draft) -> None:
    """Raise `DefinitionError` (AM1007) once the saga is in use."""
    if draft.closed:
        raise DefinitionError.of(
            "AM1007",
            f"saga {draft.name!r} is in use already",
            do="declare all of it in one module, before its first use",
            at=here(),
            saga=draft.name,
        )
