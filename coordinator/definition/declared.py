"""What the decorators gather until a saga closes: the draft of a definition, with the user's functions and places."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from amends.coordinator.definition.form import BudgetForm, LockForm, RetryForm, StepKind, WaitForm
from amends.coordinator.definition.hints import Unresolved, resolve
from amends.coordinator.definition.pending_hints import may_pend, without_pending
from amends.coordinator.definition.places import Place, Spot, place_of_function
from amends.coordinator.definition.topic import Topic

if TYPE_CHECKING:
    from amends.coordinator.definition.calling import DeclaredCall

TIMEOUT_MS: Final = 30_000
VERIFY_WITHIN_MS: Final = 10_000
DRAIN_WITHIN_MS: Final = 60_000
DEADLINE_MS: Final = 3_600_000

Role = Literal["step", "verify", "lookup", "undo", "undo.verify"]


@dataclass(slots=True, kw_only=True, eq=False)
class DeclaredHandler:
    """One of the user's functions and what was said about it."""

    role: Role
    function: Callable[..., Any]
    frame: FrameType | None
    """Where it was decorated: names of hints resolve there too. Dropped when the saga closes."""
    timeout_ms: int = TIMEOUT_MS
    within_ms: int | None = None
    verify_after_ms: int = 0
    spot: Spot | None = None
    """Where it was said what stands in its place, if it is nobody's function: a wait has none."""
    _hints: dict[str, object] | None = None
    _may_pend: bool = False

    @property
    def place(self) -> Place:
        """Where the function stands."""
        return place_of_function(self.function) if self.spot is None else self.spot.place()

    @property
    def label(self) -> str:
        """What messages call it: `reverse_charge()`."""
        return f"{self.function.__name__}()"

    @property
    def signature(self) -> inspect.Signature:
        """The parameters in order, their hints as written."""
        return inspect.signature(self.function)

    def hints(self) -> dict[str, object]:
        """Resolved hints by parameter, `return` among them, of which `Pending` is left out. Raises `Unresolved`."""
        if self._hints is None:
            hints = resolve(self.function, self.frame)
            self._may_pend = may_pend(hints.get("return"))
            if self._may_pend:
                hints["return"] = without_pending(hints["return"])
            self._hints = hints
        return self._hints

    def may_pend(self) -> bool:
        """Whether its hint says that it may return a `Pending`. Raises `Unresolved`."""
        self.hints()
        return self._may_pend


@dataclass(slots=True, kw_only=True, eq=False)
class DoubtOptions:
    """What is said about doubt on a step or an undo; None leaves it to the participant's own promise."""

    idempotent: bool | None = None
    window_ms: int | None = None
    tombstones: bool | None = None
    settle_ms: int | None = None
    settle: Literal["resend", "wait"] | None = None
    settle_within_ms: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class DeclaredUndo:
    """An undo, or the follow-up in its place."""

    handler: DeclaredHandler
    follow_up: bool
    reply: bool
    """`verify="reply"`: the participant's reply is the only evidence, and the user knows."""
    retry: RetryForm | None = None
    verify_within_ms: int | None = None
    doubt: DoubtOptions = field(default_factory=DoubtOptions)
    verify: DeclaredHandler | None = None
    pending_within_ms: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class DeclaredWait:
    """What a step waits for. `given` is the reference to its key or instant."""

    form: WaitForm
    model: object
    given: object
    timeout_ms: int = TIMEOUT_MS


@dataclass(slots=True, kw_only=True, eq=False)
class DeclaredStep:
    """One step as declared."""

    draft: "Draft"
    name: str
    kind: StepKind
    handler: DeclaredHandler
    spot: Spot
    after: "tuple[Waited, ...]" = ()
    when: object = None
    dependency: object = None
    retry: RetryForm | None = None
    irreversible: bool = False
    pivot: bool = False
    unsafe: str | None = None
    drain_within_ms: int = DRAIN_WITHIN_MS
    verify_within_ms: int | None = None
    doubt: DoubtOptions = field(default_factory=DoubtOptions)
    verify: DeclaredHandler | None = None
    lookup: DeclaredHandler | None = None
    undo: DeclaredUndo | None = None
    wait: DeclaredWait | None = None
    pending_within_ms: int | None = None

    @property
    def path(self) -> str:
        """Where its result is found."""
        return self.name

    def result_type(self) -> object:
        """The type of the step's result. Raises `Unresolved`, also where there is no hint."""
        hints = self.handler.hints()
        if "return" not in hints:
            raise Unresolved("return", f"{self.handler.label} has no hint for its result")
        return hints["return"]


@dataclass(slots=True, kw_only=True, eq=False)
class Draft:
    """A saga while it is declared."""

    name: str
    version: int
    topic: Topic[Any]
    budget: BudgetForm
    deadline_ms: int
    entries_max: int
    payload_bytes_max: int
    spot: Spot
    subject: str | None = None
    seal_result: bool = False
    locks: tuple[LockForm, ...] = ()
    steps: list[DeclaredStep] = field(default_factory=list)
    calls: "list[DeclaredCall]" = field(default_factory=list)
    closing: bool = False
    """While it is being closed: a saga that comes upon it then calls itself."""
    closed: bool = False

    def step(self, name: str) -> DeclaredStep | None:
        """The step of this name, if there is one."""
        return next((step for step in self.steps if step.name == name), None)

    def call(self, name: str) -> "DeclaredCall | None":
        """The call of this name, if there is one."""
        return next((call for call in self.calls if call.name == name), None)

    def handlers(self) -> list[tuple[DeclaredStep, DeclaredHandler]]:
        """All handlers with their steps, in the order of declaration."""
        found: list[tuple[DeclaredStep, DeclaredHandler]] = []
        for step in self.steps:
            undo = step.undo
            of_undo = (undo.handler, undo.verify) if undo else ()
            of_step = (step.handler, step.verify, step.lookup, *of_undo)
            found.extend((step, handler) for handler in of_step if handler is not None)
        return found


Waited: TypeAlias = "DeclaredStep | DeclaredCall | str"
"""What a step may wait for: a step, a call, or the name of one."""


def handler_name(step: str, role: Role) -> str:
    """`reserve`, `reserve.verify`, `reserve.lookup`, `reserve.undo`, `reserve.undo.verify`."""
    return step if role == "step" else f"{step}.{role}"
