from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional

import pytest
from pydantic import BaseModel, Field

from amends.coordinator.definition.assignable import assignable


class Base(BaseModel):
    x: int


class Derived(Base):
    y: int


OrderId = NewType("OrderId", str)
Positive = Annotated[int, Field(gt=0)]


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (int, int, True),
        (int, str, False),
        (Derived, Base, True),
        (Base, Derived, False),
        (int, float, True),
        (float, int, False),
        (bool, int, True),
        (int, int | None, True),
        (int | None, int, False),
        (Optional[int], int | None, True),  # noqa: UP045  users write it
        (int | str, int | str | None, True),
        (None, type(None), True),
        (None, int, False),
        (int, Any, True),
        (Any, int, True),
        (int, object, True),
        (list[int], list[int], True),
        (list[int], list[str], False),
        (list[Derived], Sequence[Base], True),
        (list[int], list, True),
        (dict[str, int], Mapping[str, int], True),
        (dict[str, int], Mapping[str, str], False),
        (list[int], int, False),
        (Literal["a"], str, True),
        (Literal["a"], Literal["a", "b"], True),
        (Literal["c"], Literal["a", "b"], False),
        (str, Literal["a"], False),
        (OrderId, str, True),
        (str, OrderId, False),
        (OrderId, OrderId, True),
        (Positive, int, True),
        (int, Positive, True),
        (Decimal, float, False),
        (tuple[int, ...], tuple[int, ...], True),
    ],
    ids=repr,
)
def test_a_value_may_stand_where_its_type_is_asked_for(given: object, asked: object, *, expected: bool) -> None:
    assert assignable(given, asked) is expected
