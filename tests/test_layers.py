"""The layers hold, and what import-linter cannot see: a pure core, files of one idea, functions of one screen."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.tools import CHECKOUT

PURE = ("coordinator/core", "compensations")
LINES_PER_FILE = 500
LINES_PER_FUNCTION = 60
WONDERING = {
    "datetime.now", "datetime.today", "datetime.utcnow", "date.today", "uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4",
    "open", "print", "input", "breakpoint", "__import__",
}  # fmt: skip
FILES = [
    pytest.param(path, id=str(path.relative_to(CHECKOUT)))
    for folder in ("coordinator", "compensations", "schemas", "connectors", "examples", "src/amends")
    for path in sorted((CHECKOUT / folder).rglob("*.py"))
]
PURE_FILES = [file for file in FILES if str(file.id).startswith(PURE)]


@pytest.mark.parametrize("path", PURE_FILES)
def test_the_core_never_waits_asks_the_time_or_rolls_dice(path: Path) -> None:
    assert list(_wonders(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_one_idea_and_a_function_one_screen(path: Path) -> None:
    text = path.read_text()
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    too_long = {node.name: _length(node) for node in functions if _length(node) > LINES_PER_FUNCTION}
    assert too_long == {}
    assert text.count("\n") <= LINES_PER_FILE


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("schemas/intruder.py", "import amends.coordinator", id="schemas import nothing of ours"),
        pytest.param("compensations/intruder.py", "import amends.coordinator.core", id="compensations stay below"),
        pytest.param("coordinator/runtime/intruder.py", "import amends.connectors.kafka", id="the runtime knows ports"),
        pytest.param("coordinator/core/intruder.py", "import time", id="the core has no clock"),
        pytest.param("coordinator/core/intruder.py", "from os import environ", id="the core has no environment"),
        pytest.param("coordinator/core/intruder.py", "import aiokafka", id="the core has no I/O"),
    ],
)
def test_an_import_that_breaks_a_layer_is_found(path: str, line: str, tmp_path: Path) -> None:
    copied = ("src", "coordinator", "compensations", "schemas", "connectors", "examples")
    for folder in copied:
        shutil.copytree(
            CHECKOUT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (tmp_path / path).write_text(line)

    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [linter, "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ran.returncode == 1, ran.stderr
    assert f"amends.{path.removesuffix('.py').replace('/', '.')} -> " in ran.stdout


def _wonders(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Global):
            yield f"line {node.lineno}: {type(node).__name__}"
        if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in WONDERING:
            yield f"line {node.lineno}: {called}()"


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1
