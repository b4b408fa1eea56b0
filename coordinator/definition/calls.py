"""Calls as a saga declares them: once, for every item of a list, or in rounds until a condition holds."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, Unpack, cast, overload

from amends.coordinator.definition.calling import Call, DeclaredCall, DeclaredEach, DeclaredLoop
from amends.coordinator.definition.declared import DeclaredStep, Draft, Waited
from amends.coordinator.definition.durations import Duration
from amends.coordinator.definition.options import After, optional_ms, refuse_unknown
from amends.coordinator.definition.places import calling_frame, spot_of
from amends.coordinator.definition.policies import bad_option, whole_number

if TYPE_CHECKING:
    from amends.coordinator.definition.saga import Saga
    from amends.coordinator.definition.steps import Called, Read

R = TypeVar("R")
U = TypeVar("U")

CONCURRENCY_MAX: Final = 1_000
ITEMS_MAX: Final = 2_000
ROUNDS_MAX: Final = 1_000


class _Options(TypedDict, total=False):
    after: After
    when: bool


class EachOptions(_Options, total=False):
    """Options of `for_each`."""

    key: str
    concurrency: int
    items_max: int


class LoopOptions(_Options, total=False):
    """Options of `loop`."""

    every: Duration
    on_max: Literal["fail", "go_on"]
    carry: bool


class Calls(ABC):
    """What `Saga` has of it."""

    _draft: Draft

    @overload
    def call(
        self,
        name: str,
        called: "Saga[U]",
        /,
        *,
        trigger: U,
        returns: "Read[..., Any, R]",
        after: After = ...,
        when: bool = ...,
    ) -> Call[R]: ...
    @overload
    def call(
        self,
        name: str,
        called: "Saga[U]",
        /,
        *,
        trigger: U,
        returns: "Called[..., R]",
        after: After = ...,
        when: bool = ...,
    ) -> Call[R]: ...
    @overload
    def call(
        self, name: str, called: "Saga[U]", /, *, trigger: U, after: After = ..., when: bool = ...
    ) -> Call[Any]: ...
    def call(
        self,
        name: str,
        called: "Saga[Any]",
        /,
        *,
        trigger: object,
        returns: "Called[..., Any] | None" = None,
        **options: Unpack[_Options],
    ) -> Call[Any]:
        """Include another saga's graph: its steps run as `name/step`, with `trigger` for what they take as theirs.

        `returns` is the step of it, or its `@….result`, whose result is the call's.
        """
        refuse_unknown("call", options, _Options)
        return self._called(name, called, trigger, returns=returns, repeat=None, options=options)

    @overload
    def for_each(
        self,
        name: str,
        called: "Saga[U]",
        items: Sequence[U],
        /,
        *,
        returns: "Read[..., Any, R]",
        policy: Literal["all"] = ...,
        **options: Unpack[EachOptions],
    ) -> Call[list[R]]: ...
    @overload
    def for_each(
        self,
        name: str,
        called: "Saga[U]",
        items: Sequence[U],
        /,
        *,
        returns: "Called[..., R]",
        policy: Literal["all"] = ...,
        **options: Unpack[EachOptions],
    ) -> Call[list[R]]: ...
    @overload
    def for_each(
        self,
        name: str,
        called: "Saga[U]",
        items: Sequence[U],
        /,
        *,
        returns: "Read[..., Any, R]",
        policy: Literal["collect"],
        **options: Unpack[EachOptions],
    ) -> Call[list[R | None]]: ...
    @overload
    def for_each(
        self,
        name: str,
        called: "Saga[U]",
        items: Sequence[U],
        /,
        *,
        returns: "Called[..., R]",
        policy: Literal["collect"],
        **options: Unpack[EachOptions],
    ) -> Call[list[R | None]]: ...
    @overload
    def for_each(
        self,
        name: str,
        called: "Saga[U]",
        items: Sequence[U],
        /,
        *,
        policy: Literal["all", "collect"] = ...,
        **options: Unpack[EachOptions],
    ) -> Call[list[Any]]: ...
    def for_each(
        self,
        name: str,
        called: "Saga[Any]",
        items: object,
        /,
        *,
        returns: "Called[..., Any] | None" = None,
        policy: Literal["all", "collect"] = "all",
        **options: Unpack[EachOptions],
    ) -> Call[Any]:
        """Call a saga once for every item of a list, which it takes for its trigger: its steps run as `name[2]/step`.

        `key` is the dotted name of what tells items apart, the item itself without one. At most `concurrency` of them
        are at work at once. With `policy="collect"` the run goes on without items that failed and had no effect;
        their results are None.
        """
        refuse_unknown("for_each", options, EachOptions)
        if policy not in {"all", "collect"}:
            raise bad_option("for_each", "policy", f"{policy!r} is unknown", do='say "all" or "collect"')
        each = DeclaredEach(
            key=_text("for_each", "key", options.get("key", "")),
            concurrency=_number("for_each", "concurrency", options.get("concurrency", 10), CONCURRENCY_MAX),
            items_max=_number("for_each", "items_max", options.get("items_max", 1_000), ITEMS_MAX),
            policy=policy,
        )
        return self._called(name, called, items, returns=returns, repeat=each, options=cast("_Options", options))

    @overload
    def loop(
        self,
        name: str,
        called: "Saga[U]",
        /,
        *,
        trigger: U,
        returns: "Read[..., Any, R]",
        until: bool,
        max: int,
        **options: Unpack[LoopOptions],
    ) -> Call[R]: ...
    @overload
    def loop(
        self,
        name: str,
        called: "Saga[U]",
        /,
        *,
        trigger: U,
        returns: "Called[..., R]",
        until: bool,
        max: int,
        **options: Unpack[LoopOptions],
    ) -> Call[R]: ...
    @overload
    def loop(
        self, name: str, called: "Saga[U]", /, *, trigger: U, until: bool, max: int, **options: Unpack[LoopOptions]
    ) -> Call[Any]: ...
    def loop(
        self,
        name: str,
        called: "Saga[Any]",
        /,
        *,
        trigger: object,
        until: object,
        max: int,  # noqa: A002  the word for it
        returns: "Called[..., Any] | None" = None,
        **options: Unpack[LoopOptions],
    ) -> Call[Any]:
        """Call a saga again and again, as `name[0]/step`, `name[1]/step` …, until a condition holds over a round.

        `until` is built from references to the called saga's own steps. After `max` rounds the step fails, or with
        `on_max="go_on"` the run goes on; `every` passes between two rounds. With `carry=True` a round takes for its
        trigger what the one before returned.
        """
        refuse_unknown("loop", options, LoopOptions)
        on_max = options.get("on_max", "fail")
        if on_max not in {"fail", "go_on"}:
            raise bad_option("loop", "on_max", f"{on_max!r} is unknown", do='say "fail" or "go_on"')
        loop = DeclaredLoop(
            until=until,
            rounds_max=_number("loop", "max", max, ROUNDS_MAX),
            every_ms=optional_ms("loop", options, "every") or 0,
            on_max=on_max,
            carry=options.get("carry", False) is True,
        )
        return self._called(name, called, trigger, returns=returns, repeat=loop, options=cast("_Options", options))

    def _called(
        self,
        name: str,
        called: "Saga[Any]",
        trigger: object,
        *,
        returns: "Called[..., Any] | None",
        repeat: DeclaredEach | DeclaredLoop | None,
        options: _Options,
    ) -> Call[Any]:
        called_draft = getattr(called, "_draft", None)
        if not isinstance(called_draft, Draft):
            raise bad_option("call", "of", f"{called!r} is no saga", do="pass the saga to include, after the name")
        call = DeclaredCall(
            draft=self._draft,
            name=name,
            called=called,
            trigger=trigger,
            returns=_step_of(called_draft, returns, name) if returns is not None else None,
            spot=spot_of(calling_frame()),
            after=self._waited_for("call", options.get("after", ())),
            when=options.get("when"),
            repeat=repeat,
        )
        self._add_call(call)
        return Call(call)

    @abstractmethod
    def _add_call(self, call: DeclaredCall) -> None: ...

    @abstractmethod
    def _waited_for(self, kind: str, after: After) -> tuple[Waited, ...]: ...


def _step_of(draft: Draft, returns: object, call: str) -> DeclaredStep:
    """The step that a caller names by the object that declared it."""
    declared = getattr(returns, "_declared", None)
    found = next((step for step in draft.steps if step.handler is declared), None)
    if found is None:
        raise bad_option(
            "call",
            "returns",
            f"{returns!r} is no step of saga {draft.name!r}",
            do=f"name a step of {draft.name!r} whose result is that of {call!r}, or its result",
        )
    return found


def _number(owner: str, option: str, value: int, most: int) -> int:
    whole_number(owner, option, value, most=most)
    return value


def _text(owner: str, option: str, value: object) -> str:
    if not isinstance(value, str):
        raise bad_option(owner, option, f"{value!r} is no dotted name", do='write the name of a field: key="sku"')
    return value
