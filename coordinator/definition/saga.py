"""`Saga`: where a definition begins. Its decorators gather steps; it closes at its first use."""

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from amends.coordinator.definition.calling import Call, DeclaredCall
from amends.coordinator.definition.calls import Calls
from amends.coordinator.definition.closing import ClosedSaga, close, closed_of, examine
from amends.coordinator.definition.declared import DEADLINE_MS, DRAIN_WITHIN_MS, DeclaredStep, Draft, Waited
from amends.coordinator.definition.durations import Duration
from amends.coordinator.definition.findings import DefinitionError, Finding
from amends.coordinator.definition.form import BudgetForm, StepKind
from amends.coordinator.definition.locks import locks_of
from amends.coordinator.definition.options import (
    ActionOptions,
    After,
    ExpectOptions,
    ReadOptions,
    ResultOptions,
    dependency_of,
    doubt_of,
    flag,
    optional_ms,
    pending_ms,
    refuse_unknown,
    retry_of,
    text,
)
from amends.coordinator.definition.places import Place, calling_frame, spot_of
from amends.coordinator.definition.policies import Budget, bad_option, here, positive_ms, whole_number
from amends.coordinator.definition.references import Reference, Target
from amends.coordinator.definition.steps import (
    Action,
    Called,
    Read,
    VerifyDecorator,
    handler_of,
    refuse_closed,
    refuse_twice,
)
from amends.coordinator.definition.topic import Topic
from amends.coordinator.definition.waiting import Waits
from amends.coordinator.pending import Pending
from amends.schemas.trigger import PAYLOAD_BYTES_MAX

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V", bound=bool | Coroutine[Any, Any, bool])

STEP_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
SAGA_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_RESERVED: Final = frozenset({"trigger", "ctx", "item"})


class Saga(Calls, Waits, Generic[T]):
    """A saga definition under a name and a version, started by the records of a trigger topic.

    Raise the version with every change of the graph: runs stay with the definition they started with. Given a type
    for its trigger it has no topic and starts no runs: other sagas call it.

    `subject` is the dotted name, in the trigger, of whose data a run holds: everything the run holds is then sealed
    under a key of that subject, and `amends subjects erase` destroys it. `seal_result` keeps it sealed in the outcome.

    `locks` leads from names to fields of the trigger: `{"order": "order_id"}` lets one run at a time begin for each
    order, of this saga and of every other one that locks `order`; the others wait in the order of their arrival.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int = 1,
        trigger: Topic[T] | type[T],
        budget: Budget | None = None,
        deadline: Duration = DEADLINE_MS / 1_000,
        entries_max: int = 10_000,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        subject: str | None = None,
        seal_result: bool = False,
        locks: Mapping[str, str] | None = None,
    ) -> None:
        _refuse_bad_name("saga", name, SAGA_NAME)
        whole_number("Saga", "version", version)
        whole_number("Saga", "entries_max", entries_max)
        whole_number("Saga", "payload_bytes_max", payload_bytes_max, most=PAYLOAD_BYTES_MAX)
        topic = Topic.none(trigger) if isinstance(trigger, type) else trigger
        _refuse_other("trigger", topic, Topic, do='write trigger=Topic("orders", Order)')
        _refuse_other("budget", budget or Budget(), Budget, do='write budget=Budget(usd="2.00")')
        _refuse_bad_subject(subject)
        self._draft = Draft(
            name=name,
            version=version,
            topic=topic,
            budget=budget.form() if budget else BudgetForm(),
            deadline_ms=positive_ms("Saga", "deadline", deadline),
            entries_max=entries_max,
            payload_bytes_max=payload_bytes_max,
            spot=spot_of(calling_frame()),
            subject=subject,
            seal_result=seal_result,
            locks=locks_of(locks),
        )
        self._closed: ClosedSaga | None = None

    @property
    def name(self) -> str:
        """What runs, topics and commands call it."""
        return self._draft.name

    @property
    def version(self) -> int:
        """Of the definition, from 1."""
        return self._draft.version

    @property
    def model(self) -> type[T]:
        """The type of its trigger."""
        return self._draft.topic.model

    @property
    def place(self) -> Place:
        """Where it was made."""
        return self._draft.spot.place()

    @property
    def trigger(self) -> T:
        """Stands for the trigger, in conditions and as a default: `order: str = refund.trigger.order_id`."""
        return cast("T", Reference(Target(draft=self._draft, step=None, spot=spot_of(calling_frame()))))

    @overload
    def action(
        self, function: Callable[P, Coroutine[Any, Any, R | Pending]], /
    ) -> Action[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def action(self, function: Callable[P, R | Pending], /) -> Action[P, R, R]: ...
    @overload
    def action(self, /, **options: Unpack[ActionOptions]) -> "ActionDecorator": ...
    def action(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare a step that changes the world."""

        def declare(function: Callable[..., Any]) -> Action[..., Any, Any]:
            refuse_unknown("action", options, ActionOptions)
            step = self._declare("action", function, options)
            step.irreversible = flag("action", options, "irreversible")
            step.pivot = flag("action", options, "pivot")
            step.unsafe = text("action", options, "unsafe")
            drain_within_ms = optional_ms("action", options, "drain_within")
            step.drain_within_ms = DRAIN_WITHIN_MS if drain_within_ms is None else drain_within_ms
            step.verify_within_ms = optional_ms("action", options, "verify_within")
            step.doubt = doubt_of("action", options)
            step.pending_within_ms = pending_ms("action", options)
            return Action(self._added(step))

        return declare if function is None else declare(function)

    @overload
    def read(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Read[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def read(self, function: Callable[P, R], /) -> Read[P, R, R]: ...
    @overload
    def read(self, /, **options: Unpack[ReadOptions]) -> "ReadDecorator": ...
    def read(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare a step that changes nothing: it may be repeated, and is never in doubt."""

        def declare(function: Callable[..., Any]) -> Read[..., Any, Any]:
            refuse_unknown("read", options, ReadOptions)
            return Read(self._added(self._declare("read", function, options)))

        return declare if function is None else declare(function)

    @overload
    def result(self, function: Callable[P, R], /) -> Called[P, R]: ...
    @overload
    def result(self, /, **options: Unpack[ResultOptions]) -> "ResultDecorator": ...
    def result(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare what the run's outcome record carries: a read that runs last."""

        def declare(function: Callable[..., Any]) -> Called[..., Any]:
            refuse_unknown("result", options, ResultOptions)
            step = self._declare("result", function, options)
            first = next((each for each in self._draft.steps if each.kind == "result"), None)
            refuse_twice(step, "result", first.handler if first else None)
            return Called(self._added(step).handler)

        return declare if function is None else declare(function)

    @overload
    def expect(self, function: Callable[P, V], /) -> Called[P, V]: ...
    @overload
    def expect(self, /, **options: Unpack[ExpectOptions]) -> VerifyDecorator: ...
    def expect(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare what holds once everything is done. It undoes nothing: a run is proven by it, or flagged."""

        def declare(function: Callable[..., Any]) -> Called[..., Any]:
            refuse_unknown("expect", options, ExpectOptions)
            return Called(self._added(self._declare("expect", function, options)).handler)

        return declare if function is None else declare(function)

    def examined(self) -> ClosedSaga:
        """What closing it as it is would give; it stays open. Raises `DefinitionError`."""
        return self._closed or closed_of(self._draft)

    def close(self) -> ClosedSaga:
        """Resolve, check and freeze the definition; raises `DefinitionError` with everything that is wrong with it."""
        if self._closed is None:
            self._closed = close(self._draft)
        return self._closed

    def check(self) -> list[Finding]:
        """Every broken rule, errors and warnings; changes nothing."""
        return list(self._closed.findings) if self._closed else examine(self._draft)

    def __repr__(self) -> str:
        return f"<saga {self.name} v{self.version}>"

    def _declare(self, kind: StepKind, function: Callable[..., Any], options: dict[str, Any]) -> DeclaredStep:
        handler = handler_of("step", function, options, owner=kind)
        after = options.get("after", ())
        return DeclaredStep(
            draft=self._draft,
            name=options.get("name", function.__name__),
            kind=kind,
            handler=handler,
            spot=spot_of(calling_frame()),
            after=_waited(kind, after),
            when=options.get("when"),
            dependency=dependency_of(kind, options),
            retry=retry_of(kind, options),
        )

    def _added(self, step: DeclaredStep) -> DeclaredStep:
        _refuse_bad_name("step", step.name, STEP_NAME)
        self._refuse_taken(step.name, here())
        self._draft.steps.append(step)
        return step

    def _waited_for(self, kind: str, after: After) -> tuple[Waited, ...]:
        return _waited(kind, after)

    def _refuse_taken(self, name: str, at: Place | None) -> None:
        refuse_closed(self._draft)
        step, call = self._draft.step(name), self._draft.call(name)
        first = step.handler.place if step is not None else call.spot.place() if call is not None else None
        if first is not None:
            what = "step" if step is not None else "call"
            raise DefinitionError.of(
                "AM1001",
                f"saga {self.name!r} has a second {what} {name!r}; the first is at {first}",
                do=f'rename the function, or give this one a name of its own: name="{name}_2"',
                at=at,
                saga=self.name,
            )

    def _add_call(self, call: DeclaredCall) -> None:
        _refuse_bad_name("call", call.name, STEP_NAME)
        self._refuse_taken(call.name, call.spot.place())
        self._draft.calls.append(call)


class ActionDecorator(Protocol):
    """What `@saga.action(…)` leaves to be applied. What is pending has the type that its answer will have."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R | Pending]], /
    ) -> Action[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[P, R | Pending], /) -> Action[P, R, R]: ...


class ReadDecorator(Protocol):
    """What `@saga.read(…)` leaves to be applied."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Read[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Read[P, R, R]: ...


class ResultDecorator(Protocol):
    """What `@saga.result(…)` leaves to be applied."""

    def __call__(self, function: Callable[P, R], /) -> Called[P, R]: ...


def _waited(kind: str, after: After) -> tuple[Waited, ...]:
    several = (after,) if isinstance(after, str | Read | Call) else after
    return tuple(_waited_for(kind, each) for each in several)


def _waited_for(kind: str, waited: object) -> Waited:
    if isinstance(waited, str):
        return waited
    if isinstance(waited, Read):
        return waited._step  # noqa: SLF001  they make one front end
    if isinstance(waited, Call):
        return waited._declared  # noqa: SLF001  they make one front end
    raise bad_option(kind, "after", f"{waited!r} is no step", do="pass steps or their names: after=[reserve, charge]")


def _refuse_other(option: str, value: object, kind: type, *, do: str) -> None:
    if not isinstance(value, kind):
        raise bad_option("Saga", option, f"{value!r} is no {kind.__name__}", do=do)


def _refuse_bad_subject(subject: object) -> None:
    if subject is not None and not (isinstance(subject, str) and subject):
        raise bad_option("Saga", "subject", f"{subject!r} is no field", do='write subject="customer_id"')


def _refuse_bad_name(what: str, name: object, allowed: re.Pattern[str]) -> None:
    if not isinstance(name, str) or not allowed.fullmatch(name) or name in _RESERVED:
        raise DefinitionError.of(
            "AM1002",
            f"{name!r} cannot be the name of a {what}",
            do="use 1 to 100 letters, digits and _, a letter first; trigger, ctx and item are taken",
            at=here(),
        )
