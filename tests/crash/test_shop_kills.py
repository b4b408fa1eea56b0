"""kill -9 to the shop's worker at random moments: in the end the participants' books balance, and nobody paid twice.

Three plays by default; `AMENDS_SHOP_KILLS=50` plays so many, `AMENDS_SHOP_KILLS_SEED=7` begins with that seed. A
failure names its seed. The same seed draws the same moments, but the machine decides what the worker does in them.
"""

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from amends.examples.shop import reconcile
from amends.examples.shop.ledgers import charges
from amends.examples.shop.stage import ORDERS, Stage, stage

COUNT = int(os.environ.get("AMENDS_SHOP_KILLS", "3"))
FIRST = int(os.environ.get("AMENDS_SHOP_KILLS_SEED", random.SystemRandom().randrange(10**6)))
ROWS_MAX = 135
"""So many rows the participants write at least before the first worker is done, if nobody kills it."""
LEDGERS = {"payments": ("requests", "movements"), "inventory": ("movements",), "mail": ("requests",)}
DELAY_MS_MAX = 20.0
BEFORE_ALL_MS_MAX = 900.0
LOOK_S = 0.001
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When the participants have written this many rows in all, and a little later."""

    rows: int
    delay_ms: float


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AMENDS_")]:
        monkeypatch.delenv(name)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("play", range(COUNT))
def test_the_books_balance_after_kills_at_random_moments(play: int, tmp_path: Path) -> None:
    seed = FIRST + play
    moments = list(drawn(random.Random(seed)))
    with stage(tmp_path / "demo", {}) as shop:
        try:
            shop.amends.text("publish", shop.topic, "--file", str(ORDERS))
            killed = sum(kill(shop, moment) for moment in moments)
            assert killed, "the worker was done before its moment came"
            work(shop)
            decide(shop)
            work(shop)
            hold_the_books_to_the_outcomes(shop)
        except Exception as error:
            log = shop.amends.log.read_text()
            error.add_note(
                f"AMENDS_SHOP_KILLS_SEED={seed} AMENDS_SHOP_KILLS=1: killed at {moments}; the workers' log:\n{log}"
            )
            raise


def drawn(chance: random.Random) -> Iterator[Moment]:
    """One kill, two or three; each later one in the worker that goes on after the former."""
    rows = 0
    for _ in range(chance.choice((1, 1, 2, 3))):
        rows = chance.randrange(rows, ROWS_MAX)
        at_start = rows == 0 or chance.random() < 0.1
        yield Moment(rows=rows, delay_ms=chance.uniform(0, BEFORE_ALL_MS_MAX if at_start else DELAY_MS_MAX))


def kill(shop: Stage, moment: Moment) -> bool:
    """Start a worker and kill it at the moment; False if it was done before."""
    until = time.monotonic() + WITHIN_S
    with shop.amends.worker(shop.app) as worker:
        while rows_written(shop.shop) < moment.rows and not worker.ended:
            assert time.monotonic() < until, "the worker does nothing"
            time.sleep(LOOK_S)
        time.sleep(moment.delay_ms / 1_000)
        done = worker.ended
        worker.kill()
    return not done


def work(shop: Stage) -> None:
    with shop.amends.worker(shop.app) as worker:
        worker.wait(within_s=WITHIN_S)


def decide(shop: Stage) -> None:
    """Repair the refunds of the one card, and have the one run that waits for that go on."""
    parked = shop.amends.json("parked", "list")
    assert [run["business_key"] for run in parked] == ["A-1019"], parked
    with urlopen(Request(f"{shop.payments.url}/faults?ending=0077", method="DELETE"), timeout=10):
        pass
    shop.amends.text("parked", "resolve", parked[0]["saga_id"], "--step", parked[0]["step"], "--retry")


def hold_the_books_to_the_outcomes(shop: Stage) -> None:
    outcomes = shop.folder / "outcomes.jsonl"
    outcomes.write_text(shop.amends.text("outcomes", "-o", "jsonl"))
    program = [sys.executable, str(reconcile.__file__), "--data", str(shop.shop), "--outcomes", str(outcomes)]
    books = subprocess.run(program, capture_output=True, text=True, check=False)
    assert books.returncode == 0, books.stdout + books.stderr
    assert charges(shop.shop).most_for_one_order == 1
    assert len(shop.amends.json("runs", "list", "--limit", "1000")) == 30
    assert len(shop.amends.json("dead-letters", "list")) == 7
    assert shop.amends.json("audit", "verify", "--all")["ok"]


def rows_written(shop: Path) -> int:
    """Count what only grows, by the participants' own databases."""
    rows = 0
    for name, tables in LEDGERS.items():
        with closing(sqlite3.connect(f"{(shop / name).as_uri()}.db?mode=ro", uri=True, timeout=10)) as database:
            rows += sum(int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in tables)
    return rows
