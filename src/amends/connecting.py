"""Write a connector of your own: for a participant that is reached neither over HTTP, nor by SQL, nor by mail.

    from amends.connecting import promise, sending

    class Spool:
        def __init__(self, name: str) -> None:
            self.name = name
            self.certainty = promise(name, idempotent=True)

        def put(self, parcel: str, label: str) -> None:
            with sending(self.name, action="put", resource=parcel) as request:
                ...  # act once under `request.key`; raise StepRefused, StepUnavailable or StepUnknown

`amends.testing.connector_kit` tries whether it keeps what it promises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from amends.connectors import promises
from amends.connectors.secrets import template
from amends.connectors.sending import claim, effect_key, key_of_part, release, verdict
from amends.coordinator.attempt import Attempt, current_attempt
from amends.coordinator.definition.form import Certainty
from amends.coordinator.failures import StepRefused, StepUnavailable
from amends.coordinator.loop_resources import hold

__all__ = ["Attempt", "Certainty", "Request", "current_attempt", "hold", "promise", "sending", "value_of"]


@dataclass(slots=True, kw_only=True)
class Request:
    """One request to the participant, made in the name of an attempt. `status` and `external_id` become evidence."""

    attempt: Attempt
    key: str
    """The effect's key: the same for as long as the effect may have happened. Send it along, or act by it."""
    undoes: str | None
    """In an undo and its read-back the key of what is undone, else None."""
    repeated: bool
    """The key may have been used before, so a refusal that is given without looking at it says nothing definite."""
    status: str = "ok"
    external_id: str | None = None
    """What the participant calls the effect."""

    def time_left_s(self) -> float:
        """How long the participant may take."""
        return self.attempt.time_left_s()


def promise(name: str, *, idempotent: bool | str = False, tombstones: bool = False, settle_s: float = 0.0) -> Certainty:
    """What the participant does about doubt, in the words of the other connectors; by default nothing.

    Raises `UsageError` (AM2005) for a duration that is none.
    """
    return promises.promise(name=name, idempotent=idempotent, tombstones=tombstones, settle_s=settle_s)


@contextmanager
def sending(name: str, *, action: str, resource: str, acts: bool = True, part: str | None = None) -> Iterator[Request]:
    """Send one request of the connector `name`, in a coroutine or a plain function; the block is the request itself.

    Before it: refuses to act for a reader, without a lease, without time, and outside an attempt (AM2001). After it:
    leaves evidence, and sees to it that a failure is called definite only if no earlier call of the attempt took
    effect. `action` and `resource` stand in the log: no payloads, no secrets. `acts` is false for what only reads.
    `part` names one of several effects of a step; two of them under one name are AM2004.
    """
    attempt = current_attempt(name)
    request = _request(attempt, part)
    try:
        attempt.before_send(tool=name, action=action, resource=resource, acts=acts)
    except (StepRefused, StepUnavailable) as failure:
        raise verdict(attempt, failure) from failure
    claimed = acts and claim(attempt, name, request.key, hash((action, resource)))
    status = "lost"  # whatever ends the block: what came of it is not known
    try:
        yield request
        status = request.status
    except (StepRefused, StepUnavailable) as failure:
        status = failure.kind
        if claimed:
            release(attempt, name, request.key)
        said = verdict(attempt, failure)
        if said is failure:
            raise
        raise said from failure
    finally:
        attempt.record(tool=name, action=action, resource=resource, status=status, external_id=request.external_id)


def value_of(text: str, *, secret: bool = False) -> str:
    """A declaration's text with `${env:NAME}` and `${file:PATH}` replaced, read now. Ask anew at each use.

    A secret is taken out of every log line, entry and error from then on. Raises `UsageError` (AM2002).
    """
    return template(text, what="a connector's declaration").resolve(secret=secret)


def _request(attempt: Attempt, part: str | None) -> Request:
    undoing = attempt.undoing
    return Request(
        attempt=attempt,
        key=effect_key(attempt, part),
        undoes=None if undoing is None else key_of_part(undoing.idempotency_key, part),
        repeated=not (attempt.first_use or attempt.number == 1),
    )
