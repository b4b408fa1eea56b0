"""Logging of the command line, where it is run inside a process that goes on."""

import io
import logging
import sys
from collections.abc import Callable
from contextlib import redirect_stderr

import pytest

from amends.coordinator.cli.logs import logging_kept, set_level, start_logging

NAMES = (None, "amends", "asyncio", "aiokafka")


def _logging() -> list[tuple[int, list[logging.Handler]]]:
    return [(log.level, log.handlers[:]) for log in map(logging.getLogger, NAMES)]


def _starts_and_fails() -> None:
    with logging_kept(), redirect_stderr(io.StringIO()):
        start_logging("debug")
        raise KeyError


@pytest.mark.parametrize("command", [start_logging, set_level])
def test_a_command_in_a_process_that_goes_on_leaves_its_logging_as_it_was(command: Callable[[str], None]) -> None:
    before = _logging()
    with logging_kept(), redirect_stderr(io.StringIO()):
        command("debug")
        assert _logging() != before
    assert _logging() == before


def test_so_does_a_command_that_fails() -> None:
    before = _logging()
    with pytest.raises(KeyError):
        _starts_and_fails()
    assert _logging() == before


def test_a_line_for_people_steers_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with logging_kept():
        start_logging("info")
        logging.getLogger("amends.test").warning("late_reply", extra={"key": "a\x1b[2J\x9b\u202eb"})
    assert capsys.readouterr().err.endswith("warning late_reply  key=a\\x1b[2J\\x9b\\u202eb\n")
