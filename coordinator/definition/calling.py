"""Calls: another saga's graph, included under a name. One run, one log, one budget, one undo order."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from amends.coordinator.definition.declared import DeclaredStep, Draft, Waited
from amends.coordinator.definition.fields import or_none
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.including import path_under
from amends.coordinator.definition.places import Spot, calling_frame, spot_of
from amends.coordinator.definition.references import Reference, Target

if TYPE_CHECKING:
    from amends.coordinator.definition.saga import Saga

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredEach:
    """How a call is done for every item."""

    key: str
    concurrency: int
    items_max: int
    policy: Literal["all", "collect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredLoop:
    """How a call is repeated. `until` is a condition over the called saga's own results."""

    until: object
    rounds_max: int
    every_ms: int
    on_max: Literal["fail", "go_on"]
    carry: bool


@dataclass(slots=True, kw_only=True, eq=False)
class DeclaredCall:
    """One call as declared."""

    draft: Draft
    name: str
    called: "Saga[Any]"
    trigger: object
    """What stands for the called saga's trigger; a reference, if the call is as it should be."""
    returns: DeclaredStep | None
    """The called saga's step whose result is the call's; None for its `@saga.result`."""
    spot: Spot
    after: tuple[Waited, ...] = ()
    when: object = None
    repeat: DeclaredEach | DeclaredLoop | None = None

    @property
    def returned(self) -> DeclaredStep:
        """The step whose result is the call's. Raises `DefinitionError` (AM1012) where there is none."""
        steps = self.called._draft.steps  # noqa: SLF001  the two make one front end
        found = self.returns or next((step for step in steps if step.kind == "result"), None)
        if found is None:
            raise DefinitionError.of(
                "AM1012",
                f"saga {self.called.name!r}, which {self.name!r} calls, declares no result",
                do=f"declare @{self.called.name}.result, or name a step of it: returns=…",
                at=self.spot.place(),
                saga=self.draft.name,
            )
        return found

    @property
    def returned_path(self) -> str | None:
        """Where, under its name, that result is found; None where nothing is returned."""
        try:
            return path_under(self.name, self.returned.name)
        except DefinitionError:
            return None

    @property
    def path(self) -> str:
        """Where its result is found."""
        return path_under(self.name, self.returned.name) if self.repeat is None else self.name

    def result_type(self) -> object:
        """The type of its result. Raises `Unresolved`, also where there is no hint."""
        result: Any = self.returned.result_type()
        if not isinstance(self.repeat, DeclaredEach):
            return result
        return list[result] if self.repeat.policy == "all" else list[or_none(result)]  # type: ignore[misc]


class Call(Generic[R]):
    """What `saga.call(…)` gives: something to wait for, and the source of typed references."""

    def __init__(self, declared: DeclaredCall) -> None:
        self._declared = declared

    @property
    def result(self) -> R:
        """Stands for what the called saga returns, as a parameter's default or in a condition."""
        return cast("R", self._reference(maybe=False))

    @property
    def maybe(self) -> R | None:
        """Like `result`, None where the call was skipped."""
        return cast("R | None", self._reference(maybe=True))

    def _reference(self, *, maybe: bool) -> Reference:
        call = self._declared
        call.returned  # noqa: B018  refuses a call without a result where the reference is written
        return Reference(Target(draft=call.draft, step=call, maybe=maybe, spot=spot_of(calling_frame())))

    def __repr__(self) -> str:
        return f"<call {self._declared.name} of {self._declared.called!r}>"
