import pytest

from amends.coordinator.definition.durations import milliseconds, text_of_ms


@pytest.mark.parametrize(
    ("written", "expected_ms"),
    [
        ("250ms", 250),
        ("30s", 30_000),
        ("10m", 600_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("1.5s", 1_500),
        (" 5 s ", 5_000),
        ("45", 45_000),
        (30, 30_000),
        (0.25, 250),
        (0, 0),
    ],
)
def test_durations_are_read_as_people_write_them(written: str | float, expected_ms: int) -> None:
    assert milliseconds(written) == expected_ms


@pytest.mark.parametrize(
    "written", ["", "5 minutes", "-5s", "1h30m", "s", True, None, -1, float("nan"), float("inf"), "36501d"]
)
def test_anything_else_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        milliseconds(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("duration_ms", "text"), [(250, "250ms"), (30_000, "30s"), (90_000, "90s"), (3_600_000, "1h"), (0, "0ms")]
)
def test_durations_are_written_in_the_largest_unit_that_fits(duration_ms: int, text: str) -> None:
    assert text_of_ms(duration_ms) == text
    assert milliseconds(text) == duration_ms
