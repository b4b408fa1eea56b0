"""The code of docs/testing.md runs as it stands there."""

from pathlib import Path
from runpy import run_path

import pytest

from amends.testing import rehearse
from tests.docs.pages import DOCS, blocks


def test_the_code_of_the_page_about_testing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [block.text for block in blocks(DOCS / "testing.md", "python") if block.file is None]
    (tmp_path / "page.py").write_text("\n\n".join(shown))
    monkeypatch.chdir(tmp_path)
    names = run_path("page.py")
    found = rehearse(names["sandbox"])
    assert found.findings == (), found
    tests = {name: test for name, test in names.items() if name.startswith("test_")}
    assert len(tests) == 4
    for name, test in tests.items():
        test(tmp_path / "histories") if "yesterday" in name else test()
