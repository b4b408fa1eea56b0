"""An installation with a participant in a process of its own, on each bus."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kafka.installation import Installation, wait_for

HERE = Path(__file__).parent
APP = HERE / "app.py"
PROGRAM = HERE / "shipping.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The coordinator's installation and the participant's folder."""

    amends: Installation
    folder: Path

    @contextmanager
    def serving(self, *, die_at: str = "", name: str = "shipping") -> "Iterator[subprocess.Popen[bytes]]":
        """The participant runs; at the end it stops in order, unless it was killed."""
        with (self.amends.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, PROGRAM],
                env={**self.amends.environment, "SHIPPING": str(self.folder), "DIE_AT": die_at},
                cwd=self.amends.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(15)
            assert process.returncode in {0, -signal.SIGKILL}, self.amends.log_of(name)
        finally:
            process.kill()
            process.wait(10)

    def publish(self, *orders: str, bill: bool = True) -> None:
        for order in orders:
            value = f'{{"id":"R-{order}","order":"{order}","bill":{str(bill).lower()}}}'
            self.amends.run("publish", self.amends.orders, "--json", value)

    def statuses(self) -> dict[str, str]:
        return {row["business_key"]: row["status"] for row in self.amends.json("runs", "list")}

    def ends(self, **expected: str) -> None:
        """Wait until every run is as it should be."""
        wanted = {order.replace("_", "-"): status for order, status in expected.items()}
        try:
            wait_for(lambda: self.statuses() == wanted, f"{wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.amends.everything()}") from None

    def is_open(self) -> bool:
        """Whether the participant has made its tables."""
        made = "SELECT 1 FROM sqlite_master WHERE name IN ('slots', 'moves')"
        return (self.folder / "shipping.db").exists() and len(self._rows(made)) == 2

    def slots(self) -> set[str]:
        """What the participant has booked."""
        return {sku for (sku,) in self._rows("SELECT sku FROM slots")}

    def moves(self) -> "Counter[tuple[str, str]]":
        """What it ever did, and how often."""
        return Counter(self._rows("SELECT what, sku FROM moves"))

    def _rows(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "shipping.db")) as database:
            return database.execute(statement).fetchall()


@pytest.fixture(params=["SQLite", "PostgreSQL", "Kafka"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Shop:
    """One on each store with its local bus, and one on PostgreSQL with Kafka."""
    folder = tmp_path / "shipping"
    folder.mkdir()
    os.environ.pop("DIE_AT", None)
    by_file = request.param == "SQLite"
    store = f"sqlite:///{tmp_path}/amends.db" if by_file else str(request.getfixturevalue("postgres"))
    bus = f"kafka://{request.getfixturevalue('kafka')}" if request.param == "Kafka" else "local"
    amends = Installation(folder=tmp_path, store=store, bus=bus, prefix=prefix, more={"SHOP_PREFIX": prefix})
    if request.param == "Kafka":
        amends.run("topics", "create", APP, "--partitions", 2)
    return Shop(amends=amends, folder=folder)
