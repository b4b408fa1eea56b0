"""`Context`: what a handler may know about the attempt it runs in."""

import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic_core import to_json

from amends.coordinator.attempt import Attempt, Undoing, attempt_under_way
from amends.schemas.instants import SECOND

_log = logging.getLogger("amends.handler")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt, for a handler: whose run it is, which try, and the key of its effect.

    `idempotency_key` is the effect's: in a step's lookup and read-back the step's, in an undo and its read-back the
    undo's. `deadline` is when this attempt's time is up. In an undo, `undoing` holds what is undone.
    """

    saga_id: str
    saga: str
    namespace: str
    business_key: str
    step: str
    attempt: int
    idempotency_key: str
    deadline: datetime
    epoch: int
    undoing: Undoing | None = None

    @property
    def log(self) -> "logging.LoggerAdapter[logging.Logger]":
        """A logger whose lines name the saga run, the step and the attempt."""
        return _AttemptLog(
            _log, {"saga_id": self.saga_id, "saga": self.saga, "step": self.step, "attempt": self.attempt}
        )

    def checkpoint(self, name: str, /, **told: object) -> None:
        """Name a place on the way, `ctx.checkpoint("ticket_created", ticket_id=ticket.id)`, for whoever reads the log.

        It is recorded with the attempt's reply, decides nothing, and never raises. Outside an attempt it does nothing.
        """
        attempt = attempt_under_way()
        if attempt is not None:
            attempt.checkpoint(name, _json(told))


def context_of(attempt: Attempt) -> Context:
    """What the handler of this attempt sees of it."""
    return Context(
        saga_id=attempt.saga_id,
        saga=attempt.saga,
        namespace=attempt.namespace,
        business_key=attempt.business_key,
        step=attempt.path,
        attempt=attempt.number,
        idempotency_key=attempt.idempotency_key,
        deadline=datetime.fromtimestamp(attempt.deadline / SECOND, UTC),
        epoch=attempt.epoch,
        undoing=attempt.undoing,
    )


class _AttemptLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the attempt's fields to what the caller gives, where the standard adapter would replace it."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def _json(told: dict[str, object]) -> bytes:
    """Whatever it is made of: what JSON has no words for is told by its type."""
    try:
        return to_json(told, fallback=_type_name, inf_nan_mode="strings", serialize_unknown=True)
    except Exception:  # noqa: BLE001  values that contain themselves, or whose serializers fail
        return to_json({name: _type_name(value) for name, value in told.items()})


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"
