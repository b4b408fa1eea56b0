"""A skipped test is never silent: it is listed at the end, and fails the session where AMENDS_SERVERS=required."""

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

REQUIRED = "AMENDS_SERVERS"
_skipped = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(REQUIRED, "") not in {"", "required"}:
        raise pytest.UsageError(f"{REQUIRED} is {os.environ[REQUIRED]!r}: it may be `required`, or not set")
    skipped: dict[str, list[str]] = defaultdict(list)
    config.stash[_skipped] = skipped


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _note(item.config, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _note(collector.config, report)
    return report


def _note(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome != "skipped":
        return
    assert isinstance(report.longrepr, tuple)
    reason = report.longrepr[2].removeprefix("Skipped: ")
    config.stash[_skipped][reason].append(report.nodeid)
    if os.environ.get(REQUIRED) == "required":
        report.outcome = "failed"
        report.longrepr = f"skipped, though {REQUIRED}=required: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reason, tests in config.stash[_skipped].items():
        terminalreporter.section(f"{len(tests)} not run: {reason}", sep="-", yellow=True)
        for test in sorted(tests):
            terminalreporter.line(f"  {test}")
