"""Waits as a definition declares them: for a message from outside, for an instant, or for some time to pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, Required, TypedDict, TypeVar, Unpack
from uuid import UUID

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from amends.coordinator.definition.declared import DeclaredHandler, DeclaredStep, DeclaredWait, Draft, Waited
from amends.coordinator.definition.durations import Duration
from amends.coordinator.definition.fields import NoSuchField, follow, name_of_type, or_none, type_of_source
from amends.coordinator.definition.findings import DefinitionError, Finding, finding, nearest
from amends.coordinator.definition.form import CORRELATION, UNTIL, Argument, HandlerForm, WaitForm
from amends.coordinator.definition.hints import Unresolved
from amends.coordinator.definition.options import After, refuse_unknown
from amends.coordinator.definition.parameters import argument_of
from amends.coordinator.definition.places import Spot, calling_frame, spot_of
from amends.coordinator.definition.policies import bad_option, here, positive_ms
from amends.coordinator.definition.references import Reference, target_of
from amends.coordinator.definition.steps import Read
from amends.schemas.incoming import text_fault

R = TypeVar("R")
T = TypeVar("T")

OnTimeout = Literal["fail", "skip", "park"]
_ON_TIMEOUT: Final = ("fail", "skip", "park")
_KEY_TYPES: Final = frozenset({"string", "integer"})
_NEVER: Final = frozenset({"undo", "follow_up", "verify", "lookup"})


class _Options(TypedDict, total=False):
    after: After
    when: bool


class WaitOptions(_Options, total=False):
    """Options of a wait for a message. `type` is the message's, the name of its model unless it is given."""

    correlation: Required[str | int | UUID]
    timeout: Required[Duration]
    on_timeout: OnTimeout
    type: str


class Wait(Read[[], NoReturn, R], Generic[R]):
    """A step that waits. `.result` is what the message says; of an instant and a pause it is None."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name in _NEVER:
                raise DefinitionError.of(
                    "AM1096",
                    f"step {self._step.name!r} waits, and has nothing to {name.replace('_', ' ')}",
                    do=f"declare @….{name} on the action whose effect it is about",
                    at=here(),
                    saga=self._step.draft.name,
                )
            raise AttributeError(name)


class Waits(ABC):
    """What `Saga` has of it."""

    _draft: Draft

    def wait(self, name: str, model: type[R], /, **options: Unpack[WaitOptions]) -> Wait[R]:
        """Declare a step that waits for a message of this type whose key is `correlation`.

        When none has come within `timeout`, `on_timeout` says what follows: the step fails, is skipped, or the run is
        parked for a person.
        """
        refuse_unknown("wait", options, WaitOptions)
        if options.get("timeout") is None:
            raise DefinitionError.of(
                "AM1098",
                f"step {name!r} waits for a message without a timeout",
                do='say how long, and what then: timeout="2d", on_timeout="park"',
                at=here(),
                saga=self._draft.name,
            )
        on_timeout = options.get("on_timeout", "fail")
        if on_timeout not in _ON_TIMEOUT:
            raise bad_option(
                "wait", "on_timeout", f"{on_timeout!r} is unknown", do=nearest(str(on_timeout), _ON_TIMEOUT)
            )
        form = WaitForm(awaits="message", message_type=_type_of(model, options), on_timeout=on_timeout)
        timeout_ms = positive_ms("wait", "timeout", options["timeout"])
        wait = DeclaredWait(form=form, model=model, given=options.get("correlation"), timeout_ms=timeout_ms)
        return self._waiting(name, wait, options)

    def wait_until(self, name: str, instant: datetime | str, /, **options: Unpack[_Options]) -> Wait[None]:
        """Declare a step that waits for an instant of the trigger or of a result; for one that is past, not at all."""
        refuse_unknown("wait_until", options, _Options)
        wait = DeclaredWait(form=WaitForm(awaits="instant"), model=type(None), given=instant)
        return self._waiting(name, wait, options)

    def pause(self, name: str, duration: Duration, /, **options: Unpack[_Options]) -> Wait[None]:
        """Declare a step that lets time pass, of which what the run is parked does not count."""
        refuse_unknown("pause", options, _Options)
        timeout_ms = positive_ms("pause", "duration", duration)
        wait = DeclaredWait(form=WaitForm(awaits="pause"), model=type(None), given=None, timeout_ms=timeout_ms)
        return self._waiting(name, wait, options)

    def _waiting(self, name: str, wait: DeclaredWait, options: Mapping[str, Any]) -> Wait[Any]:
        spot = spot_of(calling_frame())
        step = DeclaredStep(
            draft=self._draft,
            name=name,
            kind="wait",
            handler=DeclaredHandler(
                role="step", function=_nobody(name, spot), frame=None, spot=spot, _hints={"return": wait.model}
            ),
            spot=spot,
            after=self._waited_for("wait", options.get("after", ())),
            when=options.get("when"),
            wait=wait,
        )
        return Wait(self._added(step))

    @abstractmethod
    def _added(self, step: DeclaredStep) -> DeclaredStep: ...

    @abstractmethod
    def _waited_for(self, kind: str, after: After) -> tuple[Waited, ...]: ...


def read_wait(step: DeclaredStep, wait: DeclaredWait, findings: list[Finding]) -> HandlerForm:
    """The form of what stands in a handler's place, with everything found wrong noted."""
    arguments: dict[str, Argument] = {}
    if wait.form.awaits != "pause":
        name = CORRELATION if wait.form.awaits == "message" else UNTIL
        found = _argument(step, wait, findings)
        arguments = {name: found} if found is not None else {}
    return HandlerForm(name=step.name, arguments=arguments, timeout_ms=wait.timeout_ms)


def _argument(step: DeclaredStep, wait: DeclaredWait, findings: list[Finding]) -> Argument | None:
    def note(code: str, message: str, *, do: str) -> None:
        findings.append(finding(code, message, do=do, at=step.spot.place(), saga=step.draft.name))

    key = wait.form.awaits == "message"
    wants = "a key of text or an integer" if key else "a time, or text of one"
    like = f"{step.draft.name}.trigger.{'order_id' if key else 'ship_at'}"
    if not isinstance(wait.given, Reference):
        note("AM1095", f"step {step.name!r} waits for {wants}, but {wait.given!r} is no reference", do=f"write {like}")
        return None
    target = target_of(wait.given)
    if target.draft is not step.draft:
        what = f"step {step.name!r} refers to {target.text()} of saga {target.draft.name!r}"
        note("AM1020", what, do=f"refer to steps of {step.draft.name!r}; another saga's results are not here")
        return None
    try:
        keys, kind = follow(type_of_source(target), target.names)
    except NoSuchField as error:
        note("AM1030", f"{target.text()}: {error}", do=error.hint)
        return None
    except Unresolved:
        return argument_of(target, target.names)  # noted at the step that has the hint
    kind = or_none(kind) if target.maybe else kind
    if not _fits(kind, key=key):
        note(
            "AM1095",
            f"step {step.name!r} waits for {wants}, but {target.text()} is {name_of_type(kind)}",
            do=_else(kind),
        )
    return argument_of(target, keys)


def _fits(kind: object, *, key: bool) -> bool:
    """Whether every value of the type can be a key, or an instant, by the JSON it is written as."""
    if kind is Any:
        return True
    try:
        schema = TypeAdapter(kind).json_schema(mode="serialization")  # type: ignore[arg-type]  # any hint of the user's
    except (PydanticUserError, TypeError):
        return True  # noted where the type is used
    written = schema.get("type")
    if not key:
        return written == "string" and schema.get("format", "date-time") == "date-time" and "enum" not in schema
    return all(
        each.get("type") in _KEY_TYPES or isinstance(each.get("const"), str) for each in schema.get("anyOf", [schema])
    )


def _else(kind: object) -> str:
    return (
        "take .result, or a field that cannot be None"
        if type(None) in getattr(kind, "__args__", ())
        else "name another field"
    )


def _type_of(model: type, options: Mapping[str, Any]) -> str:
    name = options.get("type", getattr(model, "__name__", None))
    if text_fault(name) is not None:
        raise bad_option("wait", "type", f"{name!r} is no name of a type", do='name the messages: type="goods.arrived"')
    return str(name)


def _nobody(name: str, spot: Spot) -> Callable[..., NoReturn]:
    """Stands where other steps have a function, and seems to be written where the wait is."""

    def nobody() -> NoReturn:
        raise DefinitionError.of(
            "AM1037", f"step {name!r} waits and cannot be called", do="call the steps after it with a value", at=here()
        )

    nobody.__name__ = nobody.__qualname__ = name
    nobody.__code__ = nobody.__code__.replace(co_filename=spot.code.co_filename, co_firstlineno=spot.line)
    return nobody
