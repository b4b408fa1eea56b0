"""Text for people and documents for programs."""

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import pytest

from amends.coordinator.cli.logs import logging_kept
from amends.coordinator.cli.main import run
from amends.coordinator.cli.output import cells, columns, note, readable, room, status_text, write
from amends.coordinator.reading.replay_text import replay_text
from amends.coordinator.reading.times import took
from tests.unit.reading.test_story import compensated

SECOND = 1_000_000
ROWS = [["1", "a-very-long-business-key-of-somebody", "✔ ok"], ["2", "short", "a reason that is told in some words"]]


@contextmanager
def terminal(width: int) -> Iterator[None]:
    """Stdout is a terminal of so many columns; 0: it does not say how many."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with os.fdopen(theirs, "w") as stream, redirect_stdout(stream):
        yield
    os.close(ours)


@pytest.mark.parametrize(
    ("duration_us", "text"),
    [
        (0, "0 ms"),
        (4_400, "4 ms"),
        (9_999, "10 ms"),
        (310_000, "0.31 s"),
        (6_400_000, "6.4 s"),
        (60 * SECOND, "1 min"),
        (125 * SECOND, "2 min 5 s"),
        (3 * 3_600 * SECOND + 600 * SECOND, "3 h 10 min"),
        (52 * 3_600 * SECOND, "2 d 4 h"),
    ],
)
def test_a_duration_is_told_in_the_units_that_matter(duration_us: int, text: str) -> None:
    assert took(duration_us) == text


def test_columns_are_as_wide_as_what_a_terminal_shows() -> None:
    assert columns([["日本", "x"], ["a", "y"]], heads=["n", "v"]) == "n     v\n日本  x\na     y"
    assert cells("日本") == 4
    assert cells("e\u0301") == 1
    assert columns([]) == ""


@pytest.mark.parametrize(("width", "found"), [(120, 120), (0, 80)])
def test_a_terminal_says_how_wide_it_is_or_is_taken_for_eighty_columns(width: int, found: int) -> None:
    with terminal(width):
        assert room(sys.stdout) == found


def test_what_is_no_terminal_gets_whole_lines_however_long() -> None:
    assert columns(ROWS, cut=(1,), fold=True).splitlines() == [
        "1  a-very-long-business-key-of-somebody  ✔ ok",
        "2  short                                 a reason that is told in some words",
    ]


def test_on_a_narrow_terminal_what_can_be_looked_up_is_cut_and_nothing_else() -> None:
    with terminal(60):
        shown = columns(ROWS, cut=(1,)).splitlines()
    assert shown == [
        "1  a-very-long-busines…  ✔ ok",
        "2  short                 a reason that is told in some words",
    ]
    with terminal(20):
        shown = columns(ROWS, cut=(1,)).splitlines()
    assert shown == ["1  a-very-…  ✔ ok", "2  short     a reason that is told in some words"]


def test_on_a_narrow_terminal_the_last_column_goes_on_below_itself() -> None:
    with terminal(68):
        shown = columns(ROWS, heads=("n", "key", "why"), fold=True).splitlines()
    assert [line.rstrip() for line in shown[1:]] == [
        "1  a-very-long-business-key-of-somebody  ✔ ok",
        "2  short                                 a reason that is told in",
        "                                         some words",
    ]


def test_what_has_no_room_beside_the_other_columns_stands_below_them_all() -> None:
    rows = [["09:37:29", "a-very-long-business-key", "no room for this"], ["09:37:30", "short", ""]]
    with terminal(40):
        shown = columns(rows, fold=True).splitlines()
    assert shown == ["09:37:29  a-very-long-business-key", "    no room for this", "09:37:30  short"]


def test_a_column_that_can_be_spared_goes_before_a_line_is_too_long() -> None:
    rows = [["2 min", *ROWS[0]]]
    with terminal(18):
        assert columns(rows, cut=(2,), spare=0) == "1  a-very-l…  ✔ ok"
    with terminal(30):
        assert columns(rows, cut=(2,), spare=0) == "2 min  1  a-very-long-b…  ✔ ok"


def test_what_is_no_terminal_gets_no_color(capsys: pytest.CaptureFixture[str]) -> None:
    write(status_text("completed"))
    assert capsys.readouterr().out == "✔ completed\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred\n"),
        ("a\rb", "a\\rb\n"),
        ("a\x07\x9bb", "a\\x07\\x9bb\n"),
        ("tab\tand\nline", "tab\tand\nline\n"),
        ("R-1\u202e1-R\u2028", "R-1\\u202e1-R\\u2028\n"),
        ("\ud800", "\\ud800\n"),
        ("", ""),
    ],
)
def test_foreign_control_characters_are_shown_not_obeyed(
    capsys: pytest.CaptureFixture[str], text: str, shown: str
) -> None:
    write(text)
    assert capsys.readouterr().out == shown
    note(text.rstrip("\n"))
    assert capsys.readouterr().err == (shown or "\n")


def test_an_error_quotes_what_was_given_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_kept():
        assert run(["runs", "list", "--since", "\u202eye\x9bar"]) == 2
    assert r"\u202eye\x9bar" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "text"), [(b"text", "text"), (b"\xff\xfe", "base64://4="), (b"\0\0\0\x06", "base64:AAAABg=="), (b"", "")]
)
def test_bytes_are_text_or_base64(data: bytes, text: str) -> None:
    assert readable(data) == text


def test_a_replay_as_text_shows_each_entry_and_what_it_changed() -> None:
    text = replay_text(compensated().moments())
    assert '   1  14:02:07.110  trigger by amends\n        SagaStarted\n          namespace: · → "default"' in text
    assert '          forward.reverse_charge.phase: "requested" → "verifying"\n' in text
    assert text.endswith("state after version 14: compensated, folded without reaching the world")
