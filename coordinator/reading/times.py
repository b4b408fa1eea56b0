"""Instants and durations as people read them. Everything is UTC."""

import re
from datetime import UTC, datetime, timedelta

from amends.schemas.instants import MILLISECOND, SECOND, Instant, instant_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = 60 * SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_UNTIL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z(?=;|$)")
"""Where one of several things that are waited for ends, the instant it is waited for until."""


def clock(instant: Instant) -> str:
    """`14:02:07.110`."""
    return f"{_moment(instant):%H:%M:%S}.{instant % SECOND // MILLISECOND:03d}"


def day_and_clock(instant: Instant) -> str:
    """`2026-11-21 14:02:07`."""
    return f"{_moment(instant):%Y-%m-%d %H:%M:%S}"


def day(instant: Instant) -> str:
    """`2026-11-21`."""
    return f"{_moment(instant):%Y-%m-%d}"


def short(instant: Instant, now: Instant) -> str:
    """`14:02:07` on the day of `now`, `2026-11-21 14:02:07` on another."""
    return clock(instant)[:8] if day(instant) == day(now) else day_and_clock(instant)


def clock_or_day(instant: Instant, now: Instant) -> str:
    """`14:02:07` on the day of `now`, `2026-11-21` on another: for a list in which there is no room for both."""
    return clock(instant)[:8] if day(instant) == day(now) else day(instant)


def shortly(waited_for: str, now: Instant) -> str:
    """What a run's row says that it waits for, with its times as people read them."""
    return _UNTIL.sub(lambda found: short(instant_of(found.group()), now), waited_for)


def took(duration_us: int) -> str:
    """`4 ms`, `0.31 s`, `6.4 s`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`."""
    if duration_us < 10 * MILLISECOND:
        return f"{round(duration_us / MILLISECOND)} ms"
    if duration_us < SECOND:
        return f"{duration_us / SECOND:.2f} s"
    if duration_us < _MINUTE:
        return f"{duration_us / SECOND:.1f} s"
    if duration_us < _HOUR:
        return _in_two(duration_us, _MINUTE, "min", SECOND, "s")
    if duration_us < _DAY:
        return _in_two(duration_us, _HOUR, "h", _MINUTE, "min")
    return _in_two(duration_us, _DAY, "d", _HOUR, "h")


def _in_two(duration_us: int, unit: int, name: str, lesser: int, lesser_name: str) -> str:
    whole, rest = divmod(duration_us, unit)
    parts = rest // lesser
    return f"{whole} {name} {parts} {lesser_name}" if parts else f"{whole} {name}"


def _moment(instant: Instant) -> datetime:
    return _EPOCH + timedelta(microseconds=instant)
