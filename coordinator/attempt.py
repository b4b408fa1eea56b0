"""The attempt in whose name a handler runs: what connectors ask for, and where they leave evidence.

It travels in a context variable, so a handler's own code needs no extra argument and a connector used outside an
attempt fails at once instead of acting for nobody.
"""

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final

import msgspec

from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable
from amends.coordinator.ports.bus import Sink
from amends.coordinator.redaction import redact, redact_json
from amends.schemas.canonical import digest, encode
from amends.schemas.events import CheckpointRecorded, Digest, EvidenceRecorded, PermissionDenied, Role
from amends.schemas.ids import Direction, EffectKey, SagaId
from amends.schemas.instants import Instant, text_of

CALLS_MAX: Final = 500
"""Calls that one attempt may make: each leaves evidence, and all of it stands in one entry."""
EVIDENCE_BYTES_MAX: Final = 256 * 1024
"""Where so much evidence stands no further call is made: with a result beside it, it leaves an entry its 512 kB."""
TEXT_CHARACTERS_MAX: Final = 300
"""Of what evidence calls an action, a resource, a status, or what a participant calls an effect, so much is kept."""


CHECKPOINTS_MAX: Final = 100
"""Checkpoints of one attempt that are kept; what comes after them is only logged."""
CHECKPOINT_BYTES_MAX: Final = 16 * 1024
"""Of what a checkpoint tells, as JSON."""
_TOO_MUCH: Final = b'"more than a checkpoint holds"'

log = logging.getLogger("amends.handler")


class Undoing(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo undoes. `state` is `settled` where evidence, not the participant's reply, says it happened."""

    state: str
    idempotency_key: EffectKey
    external_id: str | None
    argument_digest: Digest


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of one handler. `lease_left_s` is asked directly before each send (rule 2)."""

    namespace: str
    saga: str
    saga_id: SagaId
    business_key: str
    path: str
    direction: Direction
    role: Role
    number: int
    idempotency_key: EffectKey
    deadline: Instant
    epoch: int
    may_act: bool
    """False for reads, read-backs and lookups: a connector refuses to change anything in their name (rule 9)."""
    arguments: Digest | None
    undoing: Undoing | None
    traceparent: str | None
    clock: Callable[[], Instant]
    lease_left_s: Callable[[], float]
    first_use: bool = False
    """True where no request was ever sent under this key: only then is every refusal about this request."""
    notes: list[EvidenceRecorded | PermissionDenied] = msgspec.field(default_factory=list)
    checkpoints: list[CheckpointRecorded] = msgspec.field(default_factory=list)
    told: dict[Digest, bytes] = msgspec.field(default_factory=dict)
    """What the checkpoints tell, as JSON."""
    acted: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    """What this attempt did or may have done, by connector and key: after it no later call's failure is definite."""
    commands: Callable[[], Sink] | None = None
    """Opens the bus for commands to participants; None where there is none, as in a test without one."""
    places: Mapping[str, str | None] | None = None
    """While a saga is rehearsed, where the participants are that may be reached, by connector; None in earnest."""

    def place_of(self, name: str) -> str | None:
        """Where a rehearsal leads this connector; None: to where it was declared to go."""
        return None if self.places is None else self.places.get(name)

    def time_left_s(self) -> float:
        """Seconds until the attempt's deadline; a connector's own timeout never reaches past it."""
        return (self.deadline - self.clock()) / 1_000_000

    def before_send(self, *, tool: str, action: str, resource: str, acts: bool) -> None:
        """Call directly before each request. Raises what is definite, as nothing was sent yet."""
        if self.places is not None and tool not in self.places:
            raise StepRefused(f"{tool} has no stand-in in this rehearsal; nothing was sent", kind="no_stand_in")
        if len(self.notes) >= CALLS_MAX:
            raise StepUnavailable(f"an attempt may make {CALLS_MAX} calls; nothing was sent", kind="limit")
        if len(encode(self.notes)) >= EVIDENCE_BYTES_MAX:
            what = f"an attempt may leave {EVIDENCE_BYTES_MAX} bytes of evidence; nothing was sent"
            raise StepUnavailable(what, kind="limit")
        if acts and not self.may_act:
            self._deny(tool, action, resource)
        if self.lease_left_s() <= 0:
            raise StepUnavailable("this worker's lease has run out; nothing was sent", kind="withdrawn")
        if self.time_left_s() <= 0:
            raise StepUnavailable("the attempt's time is up; nothing was sent", kind="timeout")

    def record(
        self,
        *,
        tool: str,
        action: str,
        resource: str,
        status: str,
        external_id: str | None = None,
        result: Digest | None = None,
    ) -> None:
        """Leave evidence of what a connector did and what came back. No payloads, no secrets."""
        self.notes.append(
            EvidenceRecorded(
                path=self.path,
                direction=self.direction,
                role=self.role,
                attempt=self.number,
                tool=tool,
                action=_text(action),
                resource=_text(resource),
                permission="allowed",
                status=_text(status),
                external_id=None if external_id is None else _text(external_id),
                at=text_of(self.clock()),
                arguments=self.arguments,
                result=result,
            )
        )

    def checkpoint(self, name: str, told: bytes) -> None:
        """Record a place on the way. It never fails: whether a step did what it should does not hang on a remark."""
        if len(self.checkpoints) >= CHECKPOINTS_MAX:
            log.warning("checkpoint_dropped", extra={"saga_id": self.saga_id, "step": self.path, "checkpoint": name})
            return
        body = redact_json(told) if len(told) <= CHECKPOINT_BYTES_MAX else _TOO_MUCH
        key = digest(body)
        self.told[key] = body
        self.checkpoints.append(
            CheckpointRecorded(
                path=self.path,
                direction=self.direction,
                role=self.role,
                attempt=self.number,
                name=_text(name),
                at=text_of(self.clock()),
                body=key,
            )
        )

    def _deny(self, tool: str, action: str, resource: str) -> None:
        why = f"a {self.role} may not change anything"
        self.notes.append(
            PermissionDenied(
                path=self.path,
                direction=self.direction,
                role=self.role,
                attempt=self.number,
                tool=tool,
                action=_text(action),
                resource=_text(resource),
                why=why,
            )
        )
        raise StepRefused(f"{tool} {action} {resource} was not sent: {why}", kind="permission_denied")


def _text(said: object) -> str:
    """What a connector calls something, whatever it is, without secrets and as a log can hold it."""
    return redact(str(said).encode(errors="replace").decode())[:TEXT_CHARACTERS_MAX]


def attempt_under_way() -> Attempt | None:
    """The attempt that runs now, if any does."""
    return _current.get(None)


_current: ContextVar[Attempt] = ContextVar("amends_attempt")


def current_attempt(connector: str) -> Attempt:
    """The attempt that runs now. Raises `UsageError` (AM2001) outside one."""
    attempt = _current.get(None)
    if attempt is None:
        raise UsageError(
            "AM2001",
            f"the connector {connector!r} was used outside an attempt",
            do="call it from a step, an undo or a read-back, so that its effect has a key, a log entry and evidence",
        )
    return attempt


class attempting:  # noqa: N801  read as a word: with attempting(…)
    """Run a handler in the name of this attempt."""

    __slots__ = ("_attempt", "_token")

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def __enter__(self) -> Attempt:
        self._token = _current.set(self._attempt)
        return self._attempt

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
