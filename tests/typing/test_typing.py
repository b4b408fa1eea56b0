"""mypy and pyright see what a user sees: no false alarms, and every mistake on its own line.

Both run strictly here and report an ignore comment that silences nothing, so `badly_typed.py` is clean only if each of
its mistakes is found, on its line, with its code.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
@pytest.mark.parametrize("sample", ["well_typed.py", "badly_typed.py"])
def test_type_checkers_find_every_mistake_in_a_saga_and_nothing_else(checker: str, sample: str) -> None:
    command = [sys.executable, "-m", checker, str(FOLDER / sample)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_checkers_are_asked_about_every_mistake() -> None:
    wrong = [line for line in (FOLDER / "badly_typed.py").read_text().splitlines() if "# wrong: " in line]
    assert len(wrong) == 14
    assert all(re.search(r"# type: ignore\[.+\]  # pyright: ignore\[.+\]  # wrong: ", line) for line in wrong)
