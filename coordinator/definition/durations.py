"""Durations as people write them: `250ms`, `30s`, `10m`, `2h`, `7d`, or a number of seconds."""

import re
from typing import Final

Duration = str | int | float

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WRITTEN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_MAX_MS: Final = 100 * 365 * _UNITS_MS["d"]


def milliseconds(duration: Duration) -> int:
    """Whole milliseconds of a duration; raises `ValueError` on anything that is none, or is beyond 100 years."""
    exact = _exact_ms(duration)
    if exact is None:
        raise ValueError(f"{duration!r} is not a duration: {_HOW}")
    if not 0 <= exact <= _MAX_MS:
        raise ValueError(f"{duration!r} is out of range: a duration is between 0 and 100 years")
    return round(exact)


def text_of_ms(duration_ms: int) -> str:
    """The shortest way to write it: 30000 becomes `30s`, 90000 `90s`, 1500 `1500ms`."""
    for unit in ("d", "h", "m", "s"):
        if duration_ms and duration_ms % _UNITS_MS[unit] == 0:
            return f"{duration_ms // _UNITS_MS[unit]}{unit}"
    return f"{duration_ms}ms"


def _exact_ms(duration: object) -> float | None:
    if isinstance(duration, str):
        found = _WRITTEN.fullmatch(duration.strip())
        return float(found[1]) * _UNITS_MS[found[2] or "s"] if found else None
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        return duration * 1_000.0
    return None


_HOW: Final = "write 250ms, 30s, 10m, 2h, 7d, or a number of seconds"
