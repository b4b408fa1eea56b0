"""What a handler raises is told in one printable line, whatever it is made of."""

import math

import pytest

from amends.coordinator.failures import told_by
from amends.coordinator.runtime.answers import _kind, _line, _wait_ms


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(ValueError("a\nb\t c"), "a b c", id="lines become one"),
        pytest.param(ValueError(), "", id="nothing said"),
        pytest.param(Mute(), "it raised SystemExit when asked for its text", id="no text"),
    ],
)
def test_an_error_s_text_is_one_line(error: BaseException, text: str) -> None:
    assert told_by(error) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[2J\x00", "\ufffd[2J\ufffd"),
        ("\ud800", "\ufffd"),
        ("x" * 500, "x" * 99 + "…"),
        ("  a  b  ", "a b"),
    ],
)
def test_a_line_is_printable_and_bounded(text: str, line: str) -> None:
    assert _line(text, 100) == line


@pytest.mark.parametrize(
    ("wait_s", "wait_ms"),
    [
        (None, None),
        (1.5, 1_500),
        (0, 0),
        (-1, None),
        (math.nan, None),
        (math.inf, None),
        ("soon", None),
        (1e300, 365 * 24 * 3_600_000),
    ],
)
def test_only_a_time_to_wait_is_waited(wait_s: object, wait_ms: int | None) -> None:
    assert _wait_ms(wait_s) == wait_ms


@pytest.mark.parametrize(("kind", "told"), [("closed", "closed"), ("", "refused"), (None, "refused"), (17, "refused")])
def test_a_kind_is_text_or_the_usual_one(kind: object, told: str) -> None:
    assert _kind(kind, "refused") == told
