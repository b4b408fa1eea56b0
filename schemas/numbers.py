"""One number for one value: 1, 1.0 and 10e-1 are the same, whoever wrote them (rule 5).

A whole number becomes an `int`, any other a `Decimal` without trailing zeros, so nothing is rounded. What a double
cannot hold (1e400, 1e-400) is refused, because half of the world's JSON readers would read infinity or zero.
"""

import math
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Final

from amends.schemas.undecodable import Undecodable

Number = int | Decimal

_exact: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_SHOWN: Final = 40


def number_of(text: str) -> Number:
    """Read a JSON number that has a fraction or an exponent. Raises `Undecodable` where it is beyond a double."""
    try:
        exact = Decimal(text)
        near = float(text)
    except (InvalidOperation, ValueError):
        raise Undecodable(f"{_short(text)} is not a number in range") from None
    if math.isinf(near) or math.isnan(near) or (near == 0 and exact != 0):
        raise Undecodable(f"the number {_short(text)} is beyond the range of a double")
    if near == int(near) and exact == exact.to_integral_value():
        return int(exact)
    return exact.normalize(_exact)


def number_of_float(value: float) -> Number:
    """Take an IEEE number as the shortest text that names it. Raises `Undecodable` for NaN and the infinities."""
    if not math.isfinite(value):
        raise Undecodable(f"{value} is not a number that JSON knows")
    if value == int(value):
        return int(Decimal(repr(value)))
    return Decimal(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
