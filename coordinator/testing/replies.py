"""What a scripted handler answers (`ok`, `fails`, `unavailable` …), or what befalls the command that it sends."""

from dataclasses import dataclass

from amends.compensations.faults import BusFault
from amends.coordinator.definition.durations import Duration, milliseconds
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of one handler. `after_ms` counts from the request; None: it never comes."""

    value: object = None
    error: Exception | None = None
    after_ms: int | None = 0
    stoppable: bool = True
    """Whether it ends when it is told to, as a coroutine does and a thread does not."""
    on_the_bus: BusFault | None = None
    """The user's own function is called, and this befalls what it sends; what comes late does so `after_ms`."""


def ok(value: object = None) -> Reply:
    """The handler returns this."""
    return Reply(value=value)


def fails(reason: str = "refused", *, kind: str = "refused") -> Reply:
    """Definite, and trying again will not help."""
    return Reply(error=StepRefused(reason, kind=kind))


def unavailable(reason: str = "unavailable", *, retry_after: float | None = None) -> Reply:
    """Definite; the same may succeed later."""
    return Reply(error=StepUnavailable(reason, retry_after=retry_after))


def unknown(reason: str = "the connection broke") -> Reply:
    """The effect may have happened or may still land."""
    return Reply(error=StepUnknown(reason))


def raises(error: Exception) -> Reply:
    """The handler raises something that says nothing about its effect."""
    return Reply(error=error)


def times_out() -> Reply:
    """It never returns by itself, and ends when it is told to."""
    return Reply(after_ms=None)


def late(value: object = None, *, after: Duration) -> Reply:
    """It returns this so long after the request, whatever it is told: a thread that outlives its timeout."""
    return Reply(value=value, after_ms=milliseconds(after), stoppable=False)


def on_the_bus(what: BusFault, *, after: Duration = "1h") -> Reply:
    """The handler is really called, and this befalls the command that it sends to a participant, or its reply.

    `command_lost` and `reply_lost`: it never arrives. `command_late` and `reply_late`: so long after it was sent.
    `command_repeated` and `reply_repeated`: twice, and once more that much later. `answered_refused` and
    `answered_unavailable`: the participant does not carry it out, and says so.
    """
    return Reply(on_the_bus=what, after_ms=milliseconds(after))
