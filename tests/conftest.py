"""What every test may ask for: see tests/servers/fixtures.py."""

import logging
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "tests.servers.fixtures", "tests.skips"]

# No property is about speed: a busy machine must not make one fail.
settings.register_profile("amends", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amends")

# A shell that starts the tests in its background has all they start ignore Ctrl-C, and some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    """A test that turned the log down would have others, later, miss the records that they wait for."""
    before = _logging()
    yield
    assert _logging() == before


def _logging() -> list[tuple[object, ...]]:
    logs = [logging.getLogger(name) for name in (None, "amends")]
    return [(log.name, log.level, log.disabled, log.handlers[:]) for log in logs]
