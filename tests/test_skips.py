"""No skip is silent."""

import pytest

from tests.servers.tools import CHECKOUT

THREE_TESTS = """
    import pytest
    def test_runs(): pass
    def test_cannot(): pytest.skip("no server; to run it: make servers")
    @pytest.mark.xfail(reason="known", strict=True)
    def test_known(): raise ValueError
"""


PROCESSES = pytest.mark.parametrize("processes", [[], ["-n", "2"]], ids=["one process", "two processes"])


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    pytester.makeconftest("pytest_plugins = ['tests.skips']")
    pytester.makepyfile(THREE_TESTS)
    return pytester


@PROCESSES
def test_a_skip_is_listed_with_its_reason_and_its_command(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    monkeypatch.delenv("AMENDS_SERVERS", raising=False)
    result = session.runpytest_subprocess("-p", "no:randomly", *processes)
    result.assert_outcomes(passed=1, skipped=1, xfailed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*1 not run: no server; to run it: make servers*", "  *::test_cannot"])


@PROCESSES
def test_a_skip_is_a_failure_where_servers_are_required(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    monkeypatch.setenv("AMENDS_SERVERS", "required")
    result = session.runpytest_subprocess("-p", "no:randomly", *processes)
    result.assert_outcomes(passed=1, failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*skipped, though AMENDS_SERVERS=required: no server*"])


def test_a_skipped_module_is_an_error_where_servers_are_required(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.makepyfile(test_other='import pytest\npytest.importorskip("no_such_module")\ndef test_it(): pass')
    monkeypatch.setenv("AMENDS_SERVERS", "required")
    assert session.runpytest_subprocess().ret == pytest.ExitCode.INTERRUPTED


def test_a_misspelled_requirement_is_refused(session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_SERVERS", "require")
    result = session.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*AMENDS_SERVERS is 'require'*"])
