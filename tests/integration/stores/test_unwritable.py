"""A store that cannot be written can still be read: by people who may not write, and on a medium nobody can write."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amends.connectors.stores import open_store
from tests.contract.stores.builders import Owner, saga_id
from tests.servers.tools import CHECKOUT

READ = """
import os, sys
from pathlib import Path
import amends.connectors.stores.sqlite
from amends.connectors.stores import open_store
from amends.coordinator.errors import AmendsError
from tests.contract.stores.builders import *
path = Path(sys.argv[1])
if os.geteuid() == 0:
    os.seteuid(65534)  # root may write anything: be somebody else
try:
    store = open_store(f"sqlite:///{path}", data_dir=path.parent, read_only=sys.argv[2] == "read")
    if sys.argv[2] == "write":
        store.put_inbox([message("m")])
    if sys.argv[2] == "claim":
        store.claim("worker", "w", lease_ms=1, limit=1)
    print([row.position for row in store.entries_from(0, after=0, limit=99)])
    store.change_mark()
    store.close()
except AmendsError as error:
    print(error.exit_code, error.line())
"""
DIE = """
import os, sys
from pathlib import Path
from amends.connectors.stores import open_store
from tests.contract.stores.builders import *
store = open_store(f"sqlite:///{sys.argv[1]}", data_dir=Path(sys.argv[1]).parent)
Owner(store).start("a", "b", "c")
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may enter; pytest's own are closed to them."""
    made = Path(tempfile.mkdtemp(prefix="amends-test-"))
    made.chmod(0o755)
    yield made
    for inside in (made, *made.rglob("*")):
        inside.chmod(0o755)
    shutil.rmtree(made)


def closed(folder: Path) -> None:
    store = open_store(f"sqlite:///{folder}/amends.db", data_dir=folder)
    Owner(store).start("a", "b", "c")
    store.close()


def killed(folder: Path) -> None:
    assert python(DIE, folder / "amends.db").returncode == -9
    assert (folder / "amends.db-wal").stat().st_size > 0


def killed_and_copied(folder: Path) -> None:
    killed(folder)
    (folder / "amends.db-shm").unlink()


LEFT = [
    pytest.param(closed, id="left in order"),
    pytest.param(killed, id="left by a killed process"),
    pytest.param(killed_and_copied, id="left by a killed process and copied here without its index"),
]


def python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip


def take_rights(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


@pytest.mark.parametrize("leave", LEFT)
def test_who_may_not_write_may_still_read_everything(folder: Path, leave: Callable[[Path], None]) -> None:
    leave(folder)
    take_rights(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    for _ in range(2):
        said = python(READ, folder / "amends.db", "read")
        assert (said.stdout, said.stderr) == ("[1, 2, 3]\n", "")
    assert {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")} == before


@pytest.mark.parametrize("what", [pytest.param("write", id="a message"), pytest.param("claim", id="a coordinator")])
@pytest.mark.parametrize("leave", LEFT)
def test_who_may_not_write_is_told_so(folder: Path, leave: Callable[[Path], None], what: str) -> None:
    leave(folder)
    take_rights(folder)
    said = python(READ, folder / "amends.db", what)
    assert said.stdout.startswith("2 error AM0308: the store "), said
    assert "cannot be written" in said.stdout


def test_a_store_cannot_be_made_where_nobody_may_write(folder: Path) -> None:
    take_rights(folder)
    said = python(READ, folder / "amends.db", "read")
    assert said.stdout.startswith("2 error AM0308: "), said
    said = python(READ, folder / "inside" / "amends.db", "read")
    assert said.stdout.startswith("2 error AM0314: "), said
    assert stat.S_IMODE(folder.stat().st_mode) == 0o555
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_read_by_the_next_one_that_may_write(folder: Path) -> None:
    killed(folder)
    store = open_store(f"sqlite:///{folder}/amends.db", data_dir=folder)
    assert [row.version for row in store.entries_of(saga_id("b"))] == [1]
    store.close()
