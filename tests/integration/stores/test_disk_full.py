"""A full disk costs nothing but time: what does not fit is refused whole, and goes on by itself when there is space."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.tools import CHECKOUT

PROGRAM = """
import sqlite3, sys
from pathlib import Path
from amends.connectors.stores import open_store
from amends.coordinator.errors import StoreUnavailable
from tests.contract.stores.builders import *

folder = Path(sys.argv[1])
store = open_store(f"sqlite:///{folder}/amends.db", data_dir=folder)
owner = Owner(store)
ballast = folder / "ballast"
ballast.write_bytes(b"x" * 600_000)
number, refusal = 0, None
while refusal is None:
    entries = (entry(number, 1, position=number + 1, data=bytes(20_000)),)
    part = owner.part(0, started=[run(number, offset=number)], entries=entries)
    try:
        owner.append(part)
        number += 1
    except StoreUnavailable as error:
        refusal = error
assert refusal.line().startswith("error AM0309: the disk of the store "), refusal.line()
assert number > 5, number

def whole(expected):
    found = store.entries_from(0, after=0, limit=10_000)
    assert [row.position for row in found] == list(range(1, expected + 1)), len(found)
    assert len(store.runs(limit=10_000)) == expected == store.shards()[0].position

whole(number)
for _ in range(3):
    try:
        owner.append(part)
        raise SystemExit("there was space after all")
    except StoreUnavailable:
        whole(number)
ballast.unlink()
owner.append(part)
whole(number + 1)
store.close()
again = sqlite3.connect(folder / "amends.db")
assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
again.close()
print("survived")
"""


def small_disk() -> list[str]:
    """The command under which a program may mount what nobody else sees."""
    unshare = shutil.which("unshare")
    ways = [[unshare, "--mount"], [unshare, "--map-root-user", "--mount"]] if unshare else []
    for way in ways:
        if (
            subprocess.run(
                [*map(str, way), "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return [*map(str, way)]
    pytest.skip("this machine lets nobody mount a small disk; to run it: as root, or with user namespaces allowed")


def test_a_full_disk_refuses_whole_batches_and_lets_them_in_when_there_is_space(tmp_path: Path) -> None:
    said = subprocess.run(
        [*small_disk(), "sh", "-c", 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1"', "sh",
         str(tmp_path), sys.executable, PROGRAM],
        cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=False,
        timeout=50,
    )  # fmt: skip
    assert (said.stdout, said.returncode) == ("survived\n", 0), said.stderr
