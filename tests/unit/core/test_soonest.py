"""What a row says of many waits is what comes first, and how many more there are."""

import pytest

from amends.coordinator.core.soonest import TOLD_MAX, soonest


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([(7, "a")], "a at 7", id="one"),
        pytest.param([(8, "a"), (7, "c"), (7, "b")], "b at 7; c at 7; a at 8", id="the earliest first, then by name"),
        pytest.param(
            [(number, f"i{number}") for number in range(TOLD_MAX, 0, -1)],
            "i1 at 1; i2 at 2; i3 at 3; i4 at 4; i5 at 5",
            id="as many as are told",
        ),
        pytest.param(
            [(number, f"i{number}") for number in range(1_000)],
            "i0 at 0; i1 at 1; i2 at 2; i3 at 3; i4 at 4; and 995 more",
            id="as many as a list may have",
        ),
    ],
)
def test_the_earliest_are_told_and_the_others_counted(waits: list[tuple[int, str]], said: str | None) -> None:
    assert soonest(waits, lambda at, name: f"{name} at {at}") == said
