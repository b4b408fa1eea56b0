"""Avro's logical types in the form that digests compare: decimals, dates, times and UUIDs as text (rule 5).

An unknown logical type, or a known one on a type it does not belong to, counts as the plain type (specification).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from amends.schemas.undecodable import Undecodable

Convert = Callable[[Any], object]

_EPOCH_DAY: Final = date(1970, 1, 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MICROSECONDS: Final = 86_400_000_000
_PRECISION_MAX: Final = 1_000


def converter_of(schema: Mapping[str, Any]) -> Convert | None:
    """Give the function that turns the plain value into its text, or None where there is nothing to turn."""
    logical, kind = schema.get("logicalType"), schema["type"]
    if not isinstance(kind, str):
        return None
    if logical == "decimal" and kind in ("bytes", "fixed"):
        return _decimal_of(schema)
    if logical == "uuid":
        if kind == "fixed" and schema["size"] == UUID_BYTES:
            return _uuid_of_bytes
        return _uuid_of_text if kind == "string" else None
    return _CONVERTERS.get((logical, kind))


UUID_BYTES: Final = 16


def _decimal_of(schema: Mapping[str, Any]) -> Convert | None:
    precision, scale = schema.get("precision", 0), schema.get("scale", 0)
    if not 0 < precision <= _PRECISION_MAX or not 0 <= scale <= precision:
        return None
    beyond = 10**precision

    def convert(raw: bytes) -> str:
        unscaled = int.from_bytes(raw, "big", signed=True)
        if abs(unscaled) >= beyond:
            raise Undecodable(f"a decimal of more than {precision} digits")
        sign = "-" if unscaled < 0 else ""
        digits = str(abs(unscaled)).rjust(scale + 1, "0")
        return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else sign + digits

    return convert


def _uuid_of_text(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise Undecodable(f"{text[:40]!r} is not a UUID") from None


def _uuid_of_bytes(raw: bytes) -> str:
    return str(UUID(bytes=raw))


def _date(days: int) -> str:
    try:
        return (_EPOCH_DAY + timedelta(days=days)).isoformat()
    except OverflowError:
        raise Undecodable(f"day {days} is not in the years 1 to 9999") from None


def _time(microseconds: int) -> str:
    if not 0 <= microseconds < _DAY_MICROSECONDS:
        raise Undecodable(f"{microseconds} microseconds are not a time of day")
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%H:%M:%S.%f")


def _local(microseconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise Undecodable(f"{microseconds} microseconds are not in the years 1 to 9999") from None
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def _instant(microseconds: int) -> str:
    return _local(microseconds) + "Z"


def _scaled(convert: Convert, numerator: int, denominator: int = 1) -> Convert:
    return lambda value: convert(value * numerator // denominator)


_CONVERTERS: Final[Mapping[tuple[str | None, Any], Convert]] = {
    ("date", "int"): _date,
    ("time-millis", "int"): _scaled(_time, 1000),
    ("time-micros", "long"): _time,
    ("timestamp-millis", "long"): _scaled(_instant, 1000),
    ("timestamp-micros", "long"): _instant,
    ("timestamp-nanos", "long"): _scaled(_instant, 1, 1000),
    ("local-timestamp-millis", "long"): _scaled(_local, 1000),
    ("local-timestamp-micros", "long"): _local,
    ("local-timestamp-nanos", "long"): _scaled(_local, 1, 1000),
}
