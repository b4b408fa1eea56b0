"""Hints of handlers that may return a `Pending`: `-> Booking | Pending` promises a Booking, now or by a message."""

import types
from typing import Annotated, Union, get_args, get_origin

from amends.coordinator.pending import Pending

_UNIONS = {Union, types.UnionType}


def may_pend(hint: object) -> bool:
    """Whether `Pending` is among what the hint allows."""
    if get_origin(hint) is Annotated:
        return may_pend(get_args(hint)[0])
    return hint is Pending or (get_origin(hint) in _UNIONS and any(may_pend(each) for each in get_args(hint)))


def without_pending(hint: object) -> object:
    """The type of the result, whenever it comes; None where the hint says nothing but that it is pending."""
    if get_origin(hint) is Annotated:
        return without_pending(get_args(hint)[0])
    if hint is Pending:
        return None
    if get_origin(hint) not in _UNIONS:
        return hint
    rest = tuple(each for each in get_args(hint) if not may_pend(each))
    return Union[rest] if rest else None  # noqa: UP007  several types, known at run time
