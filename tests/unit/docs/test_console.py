"""What counts as the output that a page shows."""

import pytest

from tests.docs.console import alike, commands_of


@pytest.mark.parametrize(
    ("said", "printed", "expected"),
    [
        pytest.param("", "", True, id="nothing is nothing"),
        pytest.param("", "parked", False, id="nothing is not a line"),
        pytest.param("a", "a\nb", False, id="a line more is another output"),
        pytest.param("a\nb", "a", False, id="a line less, too"),
        pytest.param("orders 3@0", "orders 4@0", False, id="numbers count"),
        pytest.param("a  b", "a b\n\n", True, id="the width of columns and empty lines do not count"),
        pytest.param("14:02:07.110  in 6.4 s", "09:00:00.001 in 12 ms", True, id="times and durations do not count"),
        pytest.param("a\n…\nd", "a\nb\nc\nd", True, id="an ellipsis is any lines"),
        pytest.param("a\n…\nd", "a\nd", True, id="or none"),
        pytest.param("a\n…\nd", "a\nb", False, id="but what follows must come"),
    ],
)
def test_an_output_is_the_one_shown(*, said: str, printed: str, expected: bool) -> None:
    assert alike(said, printed) is expected


def test_a_command_goes_on_after_a_backslash() -> None:
    assert commands_of("$ a \\\n  b\nsaid\n$ c\n") == [("a \\\n  b", "said"), ("c", "")]
