"""One call from start to end: prepared, allowed, sent, sent again where that is safe, and judged."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from pydantic import ValidationError

from amends.connectors.http.answers import PASSING, SUCCESS, Failure, failure_of
from amends.connectors.http.request import Address, Headers, Params, Request, body_of, check_headers
from amends.connectors.http.wire import Answer, LostError, NotSentError, UnfitError, exchange
from amends.connectors.sending import claim, effect_key, key_of_part, release, verdict
from amends.connectors.values import adapter_of
from amends.coordinator.attempt import Attempt, current_attempt
from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown

FIRST_WAIT_S: Final = 0.1
WAIT_FACTOR: Final = 4
WAIT_MAX_S: Final = 2.0
"""A participant that asks for more gets it from the saga's own retries, which survive a crash (rule 13)."""
GONE: Final = frozenset({404, 410})
CONFLICT: Final = 409
EXTERNAL_ID_LENGTH_MAX: Final = 255


class Raises(Enum):
    """The default of `missing=`: 404 and 410 are refusals."""

    RAISES = "raises"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A declaration, read."""

    name: str
    address: Address
    headers: Headers
    key_header: str | None
    deduplicates: bool
    definite: frozenset[int]
    external_id: str | None
    timeout_s: float
    connect_timeout_s: float
    tries: int
    response_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a handler asks for."""

    method: str
    path: str
    acts: bool
    json: object = None
    form: Mapping[str, str] | None = None
    params: Params | None = None
    headers: Mapping[str, str] | None = None
    returns: Any = None
    missing: object = Raises.RAISES
    external_id: str | None = None
    part: str | None = None


async def perform(participant: Participant, call: Call) -> object:
    """Make the call and return its value. Raises what is known about the effect."""
    attempt = current_attempt(participant.name)
    key = effect_key(attempt, call.part)
    try:
        request = _prepare(participant, attempt, call, key)
    except UnfitError as error:
        refused = StepRefused(f"{participant.name}: {call.method} was not sent: {error}", kind="invalid_request")
        raise verdict(attempt, refused) from None  # the cause may hold the payload
    except UsageError as error:  # a reference that leads nowhere
        raise verdict(attempt, StepUnavailable(f"{participant.name}: nothing was sent: {error.line()}")) from error
    return await _Calling(participant, attempt, call, request, key).value()


def _prepare(participant: Participant, attempt: Attempt, call: Call, key: str) -> Request:
    body, content_type = body_of(call.json, call.form)
    place = attempt.place_of(participant.name)
    headers = participant.headers.of(attempt, place=place)
    if call.headers:
        headers.update(call.headers)
        check_headers(call.headers)
    if content_type is not None:
        headers["Content-Type"] = content_type
    if call.acts:
        if participant.key_header is not None:
            headers[participant.key_header] = key
        if attempt.undoing is not None:
            headers["amends-undoes"] = key_of_part(attempt.undoing.idempotency_key, call.part)
    url = participant.address.join(call.path, call.params, place=place)
    return Request(method=call.method, url=url, headers=headers, body=body, path=call.path.partition("?")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """A try that is no success; `again` where another one within seconds is safe and may help."""

    failure: Failure
    again: bool


class _Calling:
    """A call under way. `_doubt` is why one of its tries may have acted."""

    __slots__ = ("_attempt", "_call", "_claimed", "_doubt", "_key", "_participant", "_request", "_shown")

    def __init__(self, participant: Participant, attempt: Attempt, call: Call, request: Request, key: str) -> None:
        self._participant = participant
        self._attempt = attempt
        self._call = call
        self._request = request
        self._key = key
        self._shown = f"{participant.name}: {request.method} {request.path}"
        self._doubt: str | None = None
        self._claimed = False

    async def value(self) -> object:
        """Try until an answer is to be had or patience is at an end."""
        wait_s = FIRST_WAIT_S
        left = self._participant.tries
        while True:
            left -= 1
            outcome = await self._try()
            if isinstance(outcome, Answer):
                return self._value_of(outcome)
            asked_s = getattr(outcome.failure, "retry_after", None) or 0.0
            pause_s = max(wait_s, asked_s)
            if not outcome.again or not left or asked_s > WAIT_MAX_S or pause_s >= self._attempt.time_left_s():
                raise self._final(outcome.failure)
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * WAIT_FACTOR, WAIT_MAX_S)

    async def _try(self) -> Answer | _Failed:
        self._allow()
        attempt, participant, request = self._attempt, self._participant, self._request
        timeout_s = min(participant.timeout_s, attempt.time_left_s())
        try:
            answer = await exchange(
                request.method,
                request.url,
                headers=request.headers,
                body=request.body,
                timeout_s=timeout_s,
                connect_s=min(
                    participant.connect_timeout_s, attempt.lease_left_s(), timeout_s
                ),  # sent within the lease
                size_bytes_max=participant.response_bytes_max,
            )
        except NotSentError as error:
            return _Failed(failure=StepUnavailable(f"{self._shown} was not sent: {error}"), again=True)
        except UnfitError as error:
            return _Failed(
                failure=StepRefused(f"{self._shown} was not sent: {error}", kind="invalid_request"), again=False
            )
        except LostError as error:
            return self._lost(error)
        except asyncio.CancelledError:
            self._note("lost")
            raise
        return self._judged(answer)

    def _allow(self) -> None:
        call, attempt, name = self._call, self._attempt, self._participant.name
        try:
            attempt.before_send(tool=name, action=call.method, resource=self._request.path, acts=call.acts)
        except (StepRefused, StepUnavailable) as failure:
            raise self._final(failure) from failure
        if call.acts:
            # Without a key the participant cannot mistake one request for another, so any number of them may be sent.
            same = self._request.fingerprint if self._participant.key_header is not None else 0
            self._claimed = claim(attempt, name, self._key, same) or self._claimed

    def _lost(self, error: LostError) -> _Failed:
        self._note("lost")
        reason = f"{self._shown}: {error}"
        if not self._call.acts:
            return _Failed(failure=StepUnavailable(reason), again=True)
        self._doubt = reason
        return _Failed(failure=StepUnknown(reason), again=self._participant.deduplicates)

    def _judged(self, answer: Answer) -> Answer | _Failed:
        attempt, call, status = self._attempt, self._call, answer.status
        if status // 100 == SUCCESS:
            return answer
        self._note(str(status))
        if call.missing is not Raises.RAISES and status in GONE:
            self._release()
            return answer
        failure = failure_of(
            answer,
            self._shown,
            acts=call.acts,
            repeated=self._doubt is not None or not (attempt.first_use or attempt.number == 1),
            definite=self._participant.definite,
            now=datetime.fromtimestamp(attempt.clock() / 1_000_000, UTC),
        )
        unknown = isinstance(failure, StepUnknown)
        if unknown:
            self._doubt = failure.reason
        passing = status in PASSING or (unknown and status == CONFLICT)  # the first request is still running there
        return _Failed(failure=failure, again=passing and (not call.acts or self._participant.deduplicates))

    def _final(self, failure: Failure) -> Exception:
        """What may be said in the end: a try that came to nothing takes no doubt from one before it."""
        if isinstance(failure, StepUnknown):
            return failure
        if self._doubt is not None and isinstance(failure, StepUnavailable):
            return StepUnknown(f"{self._doubt}; then {failure.reason}")
        self._doubt = None
        self._release()
        return verdict(self._attempt, failure)

    def _release(self) -> None:
        if self._claimed and self._doubt is None:
            release(self._attempt, self._participant.name, self._key)

    def _value_of(self, answer: Answer) -> object:
        call = self._call
        if answer.status in GONE:
            return call.missing
        value, unreadable = _read(answer, call.returns)
        field = call.external_id or self._participant.external_id
        self._note(str(answer.status), external_id=_external_id(value, field, answer))
        if unreadable is None:
            return value
        reason = f"{self._shown} was answered {answer.status}, but the answer {unreadable}"
        if call.acts:
            raise StepUnknown(reason)
        raise verdict(self._attempt, StepUnavailable(reason))

    def _note(self, status: str, *, external_id: str | None = None) -> None:
        name, request = self._participant.name, self._request
        self._attempt.record(
            tool=name, action=request.method, resource=request.path, status=status, external_id=external_id
        )


def _read(answer: Answer, returns: Any) -> tuple[object, str | None]:  # noqa: ANN401  a type, or a type form
    """The value, and why there is none."""
    if returns is None:
        return None, None
    if answer.unread is not None:
        return None, f"is {answer.unread}"
    try:
        return adapter_of(returns).validate_json(answer.body or b"null"), None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its top"
        return None, f"does not read as {getattr(returns, '__name__', returns)}: {first['type']} at {where}"


def _external_id(value: object, field: str | None, answer: Answer) -> str | None:
    if field is None:
        found: object = answer.location
    else:
        found = value.get(field) if isinstance(value, Mapping) else getattr(value, field, None)
    return str(found)[:EXTERNAL_ID_LENGTH_MAX] if isinstance(found, str | int) else None
