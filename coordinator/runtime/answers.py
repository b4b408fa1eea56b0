"""From what a handler returned or raised to the message that the core is told (design, section 5)."""

import asyncio
import inspect
import logging
import math

from amends.coordinator.core.messages import (
    Answer,
    Done,
    Ended,
    Failed,
    No,
    NoAnswer,
    Pends,
    ReadBack,
    Replied,
    Unknown,
    Yes,
)
from amends.coordinator.definition.handler import ArgumentUnreadable, InvalidResult
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown, told_by
from amends.coordinator.pending import Pending
from amends.coordinator.redaction import redact, redact_json
from amends.coordinator.runtime.inbound import Item
from amends.coordinator.runtime.raised import place_in, raised_in
from amends.coordinator.runtime.work import Work
from amends.schemas.canonical import digest
from amends.schemas.events import Digest, EvidenceRecorded

log = logging.getLogger("amends.handlers")

MESSAGE_CHARACTERS_MAX = 500
KIND_CHARACTERS_MAX = 100
PLACE_CHARACTERS_MAX = 200
WAIT_S_MAX = 365 * 24 * 3600

_NULL = b"null"
_SAYING = (StepRefused, StepUnavailable, StepUnknown, ArgumentUnreadable, InvalidResult)
"""Errors whose text was written for whoever reads about the run."""


def returned(work: Work, result: object) -> Item:
    """The handler returned."""
    if inspect.isawaitable(result):
        return raised(work, _not_awaited(work, result))
    role = work.identity.role
    if role == "verify":
        return _verified(work, result)
    if role == "lookup":
        return _looked_up(work, result)
    if isinstance(result, Pending):
        return _pending(work, result)
    try:
        data = _written(work, result)
    except InvalidResult as error:
        return raised(work, error)
    external_id = _external_id(work)
    if role == "undo":
        return _replied(work, Done(result=None, external_id=external_id))
    key = digest(data)
    return _replied(work, Done(result=key, external_id=external_id), {key: data})


def raised(work: Work, error: BaseException) -> Item:
    """The handler raised, or was stopped."""
    if not isinstance(error, asyncio.CancelledError):
        log.debug("handler_raised", extra={"saga_id": work.saga_id, "handler": work.handler.name}, exc_info=error)
    if work.identity.role in {"verify", "lookup"}:
        return _read_back(work, NoAnswer(message=_message(work, error)))
    return _replied(work, _verdict(work, error))


def overdue(work: Work) -> Item:
    """The attempt's time is up and the handler has not returned."""
    message = "no reply within the attempt's time; its handler is still running"
    if work.identity.role in {"verify", "lookup"}:
        return _read_back(work, NoAnswer(message=message))
    return _replied(work, Unknown(kind="timeout", message=message, running=True))


def withdrawn(work: Work) -> Item:
    """Never handed to the handler: definite."""
    if work.identity.role in {"verify", "lookup"}:
        return _read_back(work, NoAnswer(message="not asked in time"))
    return _replied(work, Failed(kind="withdrawn", message="not handed over in time", retriable=True))


def _verdict(work: Work, error: BaseException) -> Answer:
    message = _message(work, error)
    match error:
        case StepRefused():
            return Failed(kind=_kind(error.kind, "refused"), message=message, retriable=False)
        case StepUnavailable():
            after_ms = _wait_ms(error.retry_after)
            kind = _kind(error.kind, "unavailable")
            return Failed(kind=kind, message=message, retriable=True, retry_after_ms=after_ms)
        case StepUnknown():
            return Unknown(kind=_kind(error.kind, "in_doubt"), message=message)
        case ArgumentUnreadable():
            return Failed(kind="invalid_argument", message=message, retriable=False)
        case InvalidResult():
            return Ended(kind="invalid_result", message=message)
        case asyncio.CancelledError() if work.stopping is not None:
            why = work.stopping
            return Unknown(kind="timeout" if why == "timeout" else "in_doubt", message=f"stopped: {why}")
        case _:
            return Ended(kind="exception", message=message)


def _pending(work: Work, result: Pending) -> Item:
    """It is not done yet."""
    if work.pending_ms is None:
        what = f"{work.handler.name!r} returned a Pending, and does not say that it may: add Pending to its hint"
        return _promised(work, what)
    correlation, external_id = redact(result.correlation), result.external_id or _external_id(work)
    if correlation != result.correlation:
        return _promised(work, f"the correlation of what {work.handler.name!r} returned holds a secret")
    external_id = None if external_id is None else redact(external_id)
    pends = Pends(correlation=correlation, within_ms=result.within_ms(work.pending_ms), external_id=external_id)
    return _replied(work, pends)


def _promised(work: Work, why: str) -> Item:
    """Its answer cannot be awaited, but what it asked for is on its way and may land late."""
    return _replied(work, Unknown(kind="invalid_result", message=_message(work, InvalidResult(why))))


def _verified(work: Work, result: object) -> Item:
    if result is True:
        return _read_back(work, Yes())
    if result is False:
        return _read_back(work, No())
    return _read_back(work, NoAnswer(message=f"a read-back says True or False, not {type(result).__name__}"))


def _looked_up(work: Work, result: object) -> Item:
    if result is None or (work.finds_nothing_typed and result is False):
        return _read_back(work, No())
    external_id = _external_id(work)
    if work.finds_nothing_typed:
        return _read_back(work, Yes(result=digest(_NULL), external_id=external_id), {digest(_NULL): _NULL})
    try:
        data = _written(work, result)
    except InvalidResult as error:
        return _read_back(work, NoAnswer(message=_told(error)))
    key = digest(data)
    return _read_back(work, Yes(result=key, external_id=external_id), {key: data})


def _written(work: Work, result: object) -> bytes:
    data = redact_json(work.handler.write(result))
    if len(data) > work.result_bytes_max:
        raise InvalidResult(f"the result is {len(data)} bytes, {work.result_bytes_max} are allowed")
    return data


def _not_awaited(work: Work, result: object) -> InvalidResult:
    """What it returned has not been done: nobody awaited it."""
    if inspect.iscoroutine(result):
        result.close()
    return InvalidResult(f"{work.handler.name!r} returned a {type(result).__name__}: make it async def, and await it")


def _external_id(work: Work) -> str | None:
    """The id that a connector saw last."""
    if not work.attempt.notes:
        return None
    notes = (note for note in reversed(work.attempt.notes) if isinstance(note, EvidenceRecorded))
    return next((note.external_id for note in notes if note.external_id), None)


def _told(error: BaseException) -> str:
    """One line, without secrets, printable, of bounded length, whatever the error is made of."""
    return _line(redact(told_by(error)), MESSAGE_CHARACTERS_MAX)


def _message(work: Work, error: BaseException) -> str:
    """The same of whatever a handler raised: what nobody meant to tell has its class and its place in the app."""
    match error:
        case StepUnavailable(kind="exception", __cause__=cause) if (
            cause is not None
        ):  # a connector's, for the handler's
            place = place_in(cause, work.handler.function)
            return _with(told_by(error), f"({place})" if place else "")
        case _ if isinstance(error, _SAYING):
            return _told(error)
        case _:
            place = place_in(error, work.handler.function)
            return _with(raised_in(error), f"at {place}" if place else "")


def _with(text: str, place: str) -> str:
    """A bounded line that ends in the place, however long the text is."""
    where = _line(redact(place), PLACE_CHARACTERS_MAX)
    return f"{_line(redact(text), MESSAGE_CHARACTERS_MAX - len(where) - 1)} {where}".rstrip()


def _kind(kind: object, without: str) -> str:
    """What the handler calls its failure."""
    return _line(redact(kind), KIND_CHARACTERS_MAX) if isinstance(kind, str) and kind.strip() else without


def _line(text: str, characters_max: int) -> str:
    line = " ".join(text[: 4 * characters_max].split())
    shown = "".join(character if character.isprintable() else "\ufffd" for character in line)
    return shown if len(shown) <= characters_max else shown[: characters_max - 1] + "…"


def _wait_ms(wait_s: object) -> int | None:
    """The participant's own wish; None for what is no time to wait."""
    if not isinstance(wait_s, int | float) or not math.isfinite(wait_s) or wait_s < 0:
        return None
    return int(min(wait_s, WAIT_S_MAX) * 1000)


def _replied(work: Work, answer: Answer, payloads: dict[Digest, bytes] | None = None) -> Item:
    identity = work.identity
    message = Replied(
        path=identity.path,
        direction=identity.direction,
        attempt=identity.number,
        answer=answer,
        notes=(*work.attempt.notes, *work.attempt.checkpoints),
    )
    return Item(
        saga_id=work.saga_id,
        message=message,
        cause="reply",
        causation_id=work.attempt.idempotency_key,
        payloads={**work.attempt.told, **(payloads or {})},
    )


def _read_back(work: Work, answer: Yes | No | NoAnswer, payloads: dict[Digest, bytes] | None = None) -> Item:
    identity = work.identity
    message = ReadBack(
        path=identity.path,
        direction=identity.direction,
        role=identity.role,
        asked=identity.number,
        answer=answer,
        notes=(*work.attempt.notes, *work.attempt.checkpoints),
    )
    return Item(
        saga_id=work.saga_id,
        message=message,
        cause="readback",
        causation_id=work.attempt.idempotency_key,
        payloads={**work.attempt.told, **(payloads or {})},
    )
