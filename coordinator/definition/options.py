"""The options decorators take, and their parsing. An unknown option or a bad value raises where it was written."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from amends.coordinator.definition.declared import DoubtOptions
from amends.coordinator.definition.dependency import name_of
from amends.coordinator.definition.durations import Duration
from amends.coordinator.definition.findings import DefinitionError, nearest
from amends.coordinator.definition.form import RetryForm
from amends.coordinator.definition.policies import Retry, bad_option, duration_ms, here, positive_ms

if TYPE_CHECKING:
    from amends.coordinator.definition.calling import Call
    from amends.coordinator.definition.steps import Read

After: TypeAlias = "Read[..., Any, Any] | Call[Any] | str | Sequence[Read[..., Any, Any] | Call[Any] | str]"
"""What a step may wait for: steps, calls, or their names."""


class ReadOptions(TypedDict, total=False):
    """Options of a step that changes nothing."""

    name: str
    dependency: object
    after: After
    when: bool
    retry: Retry
    timeout: Duration


class _Doubt(TypedDict, total=False):
    idempotent: bool | Duration
    tombstones: bool
    settle_s: float
    settle: Literal["resend", "wait"]
    settle_within: Duration
    verify_within: Duration


class ActionOptions(ReadOptions, _Doubt, total=False):
    """Options of a step that changes the world."""

    irreversible: bool
    pivot: bool
    unsafe: str
    drain_within: Duration
    pending_within: Duration


class UndoOptions(_Doubt, total=False):
    """Options of an undo and of a follow-up."""

    verify: Literal["reply"]
    retry: Retry
    timeout: Duration
    pending_within: Duration


class ResultOptions(TypedDict, total=False):
    """Options of the result."""

    retry: Retry
    timeout: Duration


class ExpectOptions(TypedDict, total=False):
    """Options of what is expected: `retry` is how often one that cannot be answered is asked."""

    name: str
    dependency: object
    retry: Retry
    timeout: Duration


class VerifyOptions(TypedDict, total=False):
    """Options of a read-back: `verify_within` is how long a False is asked again.

    With `verify_after` nothing waits for it: it is asked so long after the reply, once the run has ended.
    """

    timeout: Duration
    verify_within: Duration
    verify_after: Duration


class LookupOptions(TypedDict, total=False):
    """Options of a lookup."""

    timeout: Duration


def refuse_unknown(owner: str, options: Mapping[str, object], known: type) -> None:
    """Raise `DefinitionError` (AM1006) for an option that is none."""
    names = set(known.__annotations__).union(*(base.__annotations__ for base in _ancestors(known)))
    for option in options:
        if option not in names:
            raise DefinitionError.of(
                "AM1006", f"{owner} has no option {option!r}", do=nearest(option, names), at=here()
            )


def optional_ms(owner: str, options: Mapping[str, Any], option: str) -> int | None:
    """A duration that may be missing, and may be 0."""
    return duration_ms(owner, option, options[option]) if options.get(option) is not None else None


def timeout_ms(owner: str, options: Mapping[str, Any], default: int) -> int:
    """The option `timeout`."""
    return positive_ms(owner, "timeout", options["timeout"]) if "timeout" in options else default


def pending_ms(owner: str, options: Mapping[str, Any]) -> int | None:
    """The option `pending_within`."""
    within = options.get("pending_within")
    return None if within is None else positive_ms(owner, "pending_within", within)


def retry_of(owner: str, options: Mapping[str, Any]) -> RetryForm | None:
    """The option `retry`."""
    retry = options.get("retry")
    if retry is None:
        return None
    if not isinstance(retry, Retry):
        raise bad_option(owner, "retry", f"{retry!r} is no Retry", do="write retry=Retry(attempts=4)")
    return retry.form()


def flag(owner: str, options: Mapping[str, Any], option: str) -> bool:
    """An option that is True or False, False without it."""
    value = options.get(option, False)
    if not isinstance(value, bool):
        raise bad_option(owner, option, f"{value!r} is neither True nor False", do="say True, or leave it out")
    return value


def text(owner: str, options: Mapping[str, Any], option: str) -> str | None:
    """An option that is text with something in it."""
    value = options.get(option)
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise bad_option(owner, option, f"{value!r} says nothing", do="write a reason that a reader can judge")
    return value


def dependency_of(owner: str, options: Mapping[str, Any]) -> object:
    """The option `dependency`: a declared participant, or its bare name."""
    dependency = options.get("dependency")
    if dependency is not None and name_of(dependency) is None:
        raise bad_option(
            owner, "dependency", f"{dependency!r} has no name", do='pass a connector, or a name: dependency="payments"'
        )
    return dependency


def doubt_of(owner: str, options: Mapping[str, Any]) -> DoubtOptions:
    """What is said about doubt."""
    idempotent = options.get("idempotent")
    settle = options.get("settle")
    if settle not in {None, "resend", "wait"}:
        raise bad_option(owner, "settle", f"{settle!r} is unknown", do=nearest(str(settle), ("resend", "wait")))
    window = (
        None if idempotent is None or isinstance(idempotent, bool) else positive_ms(owner, "idempotent", idempotent)
    )
    return DoubtOptions(
        idempotent=None if idempotent is None else bool(idempotent),
        window_ms=window,
        tombstones=flag(owner, options, "tombstones") if "tombstones" in options else None,
        settle_ms=optional_ms(owner, options, "settle_s"),
        settle=settle,
        settle_within_ms=optional_ms(owner, options, "settle_within"),
    )


def _ancestors(known: type) -> tuple[type, ...]:
    return tuple(base for base in getattr(known, "__orig_bases__", ()) if base is not TypedDict)
