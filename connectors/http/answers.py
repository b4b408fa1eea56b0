"""What an HTTP answer says about the effect (design, section 5): done, no effect for certain, or not known. Pure.

A refusal is definite when it is about this request. Under a key that may have been used before (a retry after a lost
reply), many refusals are given before the participant looks at the key, or mean that the first request still runs
(draft-ietf-httpapi-idempotency-key-header: 400, 409, 422): they say nothing about that first request, so the effect
stays in doubt, unless the participant says that it replays what it kept under the key (`Idempotent-Replayed: true`), or
is declared to mean them for good (`definite=`).
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from amends.connectors.http.wire import Answer
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown

Failure = StepRefused | StepUnavailable | StepUnknown

NOT_YET: Final = frozenset({408, 425, 429})
"""The request was not taken up; the same may be later."""
NOT_ALLOWED: Final = frozenset({401, 403, 407})
NOT_HERE: Final = frozenset({307, 308})
"""A redirect that repeats the method: this server did nothing."""
SILENT_ON_A_REPETITION: Final = frozenset(
    {400, 401, 403, 405, 406, 407, 409, 411, 412, 413, 414, 415, 417, 421, 422, 426, 428, 431, 451}
)
"""Of a repeated request these say nothing about the first one."""
PASSING: Final = NOT_YET | {502, 503, 504}
"""Worth another try within seconds."""
RETRY_AFTER_MAX_S: Final = 86_400.0
ERROR_BYTES_MAX: Final = 65_536
SUCCESS: Final = 2
REDIRECT: Final = 3
CLIENT_ERROR: Final = 4
"""Families of statuses, by their first digit (RFC 9110, section 15)."""

_WORD = re.compile(r"[A-Za-z][A-Za-z_.-]{1,47}")  # no digits and no spaces: a code, never somebody's data


def failure_of(
    answer: Answer, request: str, *, acts: bool, repeated: bool, definite: Collection[int], now: datetime
) -> Failure:
    """What an answer that is no success says. `repeated`: this key may have been used before."""
    status = answer.status
    said = f"{request} was answered {status}{_code(answer)}"
    family = status // 100
    if family == CLIENT_ERROR:
        silent = status in SILENT_ON_A_REPETITION and status not in definite and not answer.replayed
        if acts and repeated and silent:
            return StepUnknown(f"{said}, which says nothing about the request sent earlier under this key")
        if status in NOT_YET:
            return StepUnavailable(said, retry_after=retry_after_s(answer.retry_after, now))
        return StepRefused(said, kind="permission_denied" if status in NOT_ALLOWED else "refused")
    if family == REDIRECT and (not acts or status in NOT_HERE):
        return StepRefused(f"{said}, a redirect that is not followed")
    if acts:
        return StepUnknown(said)
    return StepUnavailable(said, retry_after=retry_after_s(answer.retry_after, now))


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """The participant's wish in seconds (RFC 9110, 10.2.3), at most a day; None where it says none that can be read."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), RETRY_AFTER_MAX_S)


def _code(answer: Answer) -> str:
    """The participant's own word for the refusal, where the body holds one that is a code and nobody's data."""
    if answer.unread or "json" not in answer.content_type or len(answer.body) > ERROR_BYTES_MAX:
        return ""
    try:
        said = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    for _ in range(2):
        if not isinstance(said, dict):
            break
        said = next((said[name] for name in ("error", "code", "type") if name in said), None)
    return f" {said}" if isinstance(said, str) and _WORD.fullmatch(said) else ""
