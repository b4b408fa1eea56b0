"""`amends new`: a project that runs at once, or nothing at all."""

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.servers.tools import CHECKOUT

FILES = [".gitignore", "Makefile", "README.md", "amends.toml", "pyproject.toml", "sagas.py", "test_sagas.py"]


def shell(command: str, folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """As a user types it, with the environment's programs in front and no settings of the developer."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{given['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**given, "PATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = shell("amends new tea-shop", tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith("next: cd tea-shop && make test\n")
    assert names(tmp_path) == ["tea-shop"]
    return tmp_path / "tea-shop"


def test_make_test_passes_in_a_new_project(project: Path) -> None:
    assert names(project) == FILES
    tested = shell("make test", project)
    assert tested.returncode == 0, tested.stderr
    assert "sagas.py: every rule is kept" in tested.stdout
    assert "Ran 3 tests" in tested.stderr
    assert tested.stderr.endswith("OK\n")


def test_a_new_project_runs_at_once(project: Path) -> None:
    played = shell("make run", project)
    assert played.returncode == 0, played.stderr
    assert "order A-1 · ✔ completed" in played.stdout
    assert "order A-2 · ↩ compensated" in played.stdout
    books = shell("python3 sagas.py", project)
    assert books.stdout == "cups: 12 on hand\ntea: 38 on hand\n"
    assert shell("make clean", project).returncode == 0
    assert set(names(project)) - {"__pycache__"} == set(FILES)


@pytest.mark.parametrize("break_it", ["fails(", "ended.status, "])
def test_the_tests_of_a_new_project_can_fail(break_it: str, project: Path) -> None:
    file = project / "test_sagas.py"
    file.write_text(file.read_text().replace(break_it, f"{'ok(' if break_it == 'fails(' else 'not '}{break_it}", 1))
    assert shell("make test", project).returncode != 0


@pytest.mark.timeout(180)
def test_a_new_project_has_nothing_that_linters_and_type_checkers_refuse(project: Path) -> None:
    for tool in ("ruff check .", "ruff format --check --line-length 120 .", "mypy --strict ."):
        ran = shell(f"MYPYPATH={CHECKOUT / 'src'} {tool}", project)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_settings_given_as_flags_stand_in_the_project(tmp_path: Path) -> None:
    secret = "postgresql://tea:leaves@db/tea"
    assert shell(f"amends new tea --store {secret} --namespace tea", tmp_path).returncode == 0
    file = tmp_path / "tea" / "amends.toml"
    chosen = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert chosen == [f'store = "{secret}"', 'namespace = "tea"', 'sagas = ["sagas.py"]']
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_project_is_as_open_as_the_umask_says(tmp_path: Path) -> None:
    assert shell("umask 027 && amends new tea", tmp_path).returncode == 0
    assert stat.S_IMODE((tmp_path / "tea").stat().st_mode) == 0o750


@pytest.mark.parametrize(
    "name", ["../tea", "/tmp/tea", "1tea", "-tea", "tea-", "'te a'", "té", "''", ".", "Amends", "t" * 64]
)
def test_a_bad_name_is_refused(name: str, tmp_path: Path) -> None:
    refused = shell(f"amends new -- {name}", tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error AM5052: ")
    assert names(tmp_path) == []


def test_a_setting_that_is_wrong_leaves_nothing_behind(tmp_path: Path) -> None:
    refused = shell("amends new tea --bus carrier-pigeon", tmp_path)
    assert refused.stderr.startswith("error AM5001: ")
    assert names(tmp_path) == []


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "tea").mkdir()
    assert shell("amends new tea", tmp_path).returncode == 0
    assert names(tmp_path / "tea") == FILES


@pytest.mark.parametrize(
    "there", ["mkdir tea && touch tea/x", "touch tea", "ln -s nowhere tea", "mkdir y && ln -s y tea"]
)
def test_what_is_there_is_refused_and_left_as_it_is(there: str, tmp_path: Path) -> None:
    shell(there, tmp_path)
    before = sorted(map(str, tmp_path.rglob("*")))
    refused = shell("amends new tea", tmp_path)
    assert refused.returncode == 7
    assert refused.stderr.startswith("error AM5053: tea ")
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def test_a_disk_that_is_full_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    refused = shell("ulimit -f 1; amends new tea", tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.startswith("error AM5054: tea cannot be written: ")
    assert names(tmp_path) == []
