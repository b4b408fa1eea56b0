"""Points in time: whole microseconds since 1970 UTC inside, RFC 3339 text with six decimals in every record.

Integers make `now >= due` one comparison and keep the core free of time zones; the text sorts as the time does.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND: int = 1_000_000
MILLISECOND: int = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def text_of(instant: Instant) -> str:
    """`1795262527110000` becomes `2026-11-21T14:02:07.110000Z`. All decisions of a batch share their instants."""
    seconds, microseconds = divmod(instant, SECOND)
    return f"{_to_the_second(seconds)}.{microseconds:06d}Z"


@lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    """What the texts of a whole second share: writing it takes ten times as long as adding the rest."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=256)
def instant_of(text: str) -> Instant:
    """The inverse of `text_of`; accepts any RFC 3339 time with an offset. Raises `ValueError` on anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset: write a time like 2026-11-21T14:02:07.110000Z")
    return (moment - _EPOCH) // timedelta(microseconds=1)
