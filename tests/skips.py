"""A skipped test is never silent: it is listed at the end, and fails the session where AMENDS_SERVERS=required.

Outcomes are changed where a test runs, and listed where the session is told: with several processes, elsewhere.
"""

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

REQUIRED = "AMENDS_SERVERS"
_AS_FAILURE = f"skipped, though {REQUIRED}=required: "


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(REQUIRED, "") not in {"", "required"}:
        raise pytest.UsageError(f"{REQUIRED} is {os.environ[REQUIRED]!r}: it may be `required`, or not set")
    config.pluginmanager.register(_Skipped(), "amends-skipped")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    del item
    report = yield
    if not hasattr(report, "wasxfail"):
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judge(report)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and os.environ.get(REQUIRED) == "required":
        report.outcome, report.longrepr = "failed", f"{_AS_FAILURE}{_reason(report)}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    assert isinstance(report.longrepr, tuple)
    return str(report.longrepr[2]).removeprefix("Skipped: ")


class _Skipped:
    """What was skipped, by reason."""

    def __init__(self) -> None:
        self._tests: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._tests[_reason(report)].append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._tests[_reason(report)].append(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for reason, tests in self._tests.items():
            terminalreporter.section(f"{len(tests)} not run: {reason}", sep="-", yellow=True)
            for test in sorted(set(tests)):
                terminalreporter.line(f"  {test}")
