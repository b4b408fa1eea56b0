"""The undo order (rule 9)."""

import pytest

from amends.compensations.order import undo_order


@pytest.mark.parametrize(
    ("last_requested", "order"),
    [
        pytest.param({}, (), id="nothing requested, nothing undone"),
        pytest.param({"a": 1, "b": 2, "c": 3}, ("c", "b", "a"), id="the last requested is undone first"),
        pytest.param({"a": 4, "b": 2, "c": 3}, ("a", "c", "b"), id="a step sent again counts by its last request"),
        pytest.param({"b": 9, "a": 10}, ("a", "b"), id="places are numbers, not text"),
    ],
)
def test_undo_order_reverses_the_order_of_last_requests(last_requested: dict[str, int], order: tuple[str, ...]) -> None:
    assert undo_order(last_requested) == order
