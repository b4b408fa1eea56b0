"""A full disk costs nothing but time: what does not fit is refused whole, and goes on by itself when there is space."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers.tools import CHECKOUT
from tests.small_disk import SmallDisk

PLACES = 40
"""The disk gets full before the first write of an append, before the second, and so on."""
PROGRAM = """
import sqlite3, sys
from pathlib import Path
from amends.connectors.stores import open_store
from amends.coordinator.errors import StoreUnavailable
from tests.contract.stores.builders import *

folder = Path(sys.argv[1])
store = open_store(f"sqlite:///{folder}/amends.db", data_dir=folder)
owner = Owner(store)
number, refused = 0, 0

def whole(expected):
    found = store.entries_from(0, after=0, limit=10_000)
    assert [row.position for row in found] == list(range(1, expected + 1)), len(found)
    assert len(store.runs(limit=10_000)) == expected == store.shards()[0].position

print("ready", flush=True)
for _ in sys.stdin:
    entries = (entry(number, 1, position=number + 1, data=bytes(20_000)),)
    part = owner.part(0, started=[run(number, offset=number)], entries=entries)
    try:
        owner.append(part)
        whole(number + 1)
    except StoreUnavailable as error:
        assert error.line().startswith("error AM0309: the disk of the store "), error.line()
        refused += 1
        whole(number)
        try:
            owner.append(part)
            raise SystemExit("there was space after all")
        except StoreUnavailable:
            whole(number)
        print("refused", flush=True)
        sys.stdin.readline()
        owner.append(part)
        whole(number + 1)
    number += 1
    print("appended", flush=True)
store.close()
again = sqlite3.connect(folder / "amends.db")
assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
again.close()
print("survived", refused)
"""


def test_wherever_the_disk_gets_full_a_batch_is_refused_whole_and_let_in_when_there_is_space(tmp_path: Path) -> None:
    with (
        SmallDisk(tmp_path) as disk,
        subprocess.Popen(
            [*disk.wrapper, sys.executable, "-c", PROGRAM, str(tmp_path)],
            cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        refused = 0
        for room in range(PLACES):
            disk.room = room
            print("next", file=process.stdin, flush=True)
            said = process.stdout.readline()
            if said == "refused\n":
                refused += 1
                disk.full = False
                print("there is space", file=process.stdin, flush=True)
                said = process.stdout.readline()
            assert said == "appended\n"
            disk.full = False
        process.stdin.close()
        assert process.stdout.read() == f"survived {refused}\n"
    assert process.returncode == 0
    assert 0 < refused < PLACES, "the disk was full at the first place, and not at the last"
