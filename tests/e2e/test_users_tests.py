"""A user tests her saga and her own connector with `amends.testing`, in a project of hers, with plain pytest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, files_of

SAGAS = """
from pydantic import BaseModel

from amends import Retry, Saga, Topic


class Order(BaseModel):
    id: str


class Charge(BaseModel):
    id: str


shop = Saga("shop", version=1, trigger=Topic("orders", Order, idempotency_key="id"))
called = []


@shop.action(idempotent=True, retry=Retry(attempts=3, wait="10s", wait_max="1m"), timeout="5s")
async def charge(trigger: Order) -> Charge:
    called.append("charge")
    return Charge(id="never reached where a reply is scripted")


@charge.undo(verify="reply")
async def refund(charged: Charge | None = charge.maybe) -> None:
    called.append(f"refund {charged.id if charged else None}")


@shop.action(idempotent=True, after=charge)
async def ship(trigger: Order, charged: Charge = charge.result) -> None:
    called.append(f"ship {charged.id}")


@ship.undo(verify="reply")
async def unship() -> None:
    called.append("unship")
"""

TESTS = """
import time

import pytest
from sagas import Charge, called, shop

from amends.testing import fails, ok, outcome, run, times_out, unavailable, world


@pytest.fixture(autouse=True)
def fresh():
    called.clear()


def test_all_goes_well_with_her_own_functions():
    assert run(shop, {"id": "A"}).status == "completed"
    assert called == ["charge", "ship never reached where a reply is scripted"]


def test_a_refused_shipment_undoes_the_charge():
    ended = run(shop, {"id": "A"}, replies={"charge": ok(Charge(id="c1")), "ship": fails("no truck", kind="sold_out")})
    assert (ended.status, ended.cause, ended.failure.kind) == ("compensated", "failed", "sold_out")
    assert [undone.step for undone in ended.undone] == ["charge"]
    assert called == ["refund c1"]


def test_waits_cost_no_time():
    began = time.monotonic()
    installation = world(shop, replies={"charge": [unavailable("later"), times_out(), ok(Charge(id="c1"))]})
    first = installation.clock.now
    installation.publish({"id": "A"})
    installation.run()
    (row,) = installation.store.runs(limit=2)
    assert outcome(installation, row.saga_id).status == "completed"
    assert installation.clock.now - first > 10_000_000
    assert time.monotonic() - began < 10


def test_a_crash_between_two_steps_loses_nothing():
    installation = world(shop, replies={"charge": [unavailable("later"), ok(Charge(id="c1"))]})
    installation.publish({"id": "A"})
    installation.run(until=installation.clock.now + 1_000_000)
    installation.crash()
    installation.run()
    (row,) = installation.store.runs(limit=2)
    assert (row.status, called) == ("completed", ["ship c1"])


def test_a_trigger_that_becomes_no_run_says_why():
    with pytest.raises(AssertionError, match="became no run: no_key"):
        run(shop, {"id": None})
"""

UNFORESEEN = """
from sagas import Charge, shop

from amends.testing import fails, ok, raises, run


def test_a_refused_shipment_undoes_the_charge():
    replies = {"charge": ok(Charge(id="c1")), "ship": fails("no truck"), "charge.undo": raises(KeyError("charge"))}
    assert run(shop, {"id": "A"}, replies=replies).status == "compensated"


def test_it_is_shipped():
    assert run(shop, {"id": "B"}, replies={"ship": fails("no truck")}).status == "completed"
"""

CONNECTOR = '''
from amends.connecting import promise, sending


class Safe:
    """A participant in memory, which knows each request by its key unless it forgets them."""

    def __init__(self, *, forgets: bool) -> None:
        self.name = "safe"
        self.certainty = promise("safe", idempotent=True)
        self.forgets = forgets
        self.done: dict[str, tuple[str, str]] = {}

    async def do(self, thing: str, what: str) -> str:
        with sending(self.name, action=what, resource=thing) as request:
            key = request.key + (str(len(self.done)) if self.forgets else "")
            self.done.setdefault(key, (thing, what))
            request.external_id = key
        return thing

    def count(self, thing: str, what: str) -> int:
        return list(self.done.values()).count((thing, what))
'''

KIT = """
import asyncio

import pytest
from safe import Safe

from amends.testing import connector_kit


def subject(safe):
    async def put(thing):
        return await safe.do(thing, "put")

    async def take(thing):
        return await safe.do(thing, "take")

    async def applied(thing):
        return safe.count(thing, "put")

    async def undone(thing):
        return safe.count(thing, "take")

    return connector_kit.Subject(dependency=safe, do=put, undo=take, applied=applied, undone=undone)


HONEST = subject(Safe(forgets=False))


@pytest.mark.parametrize("check", connector_kit.checks_of(HONEST), ids=str)
def test_it_keeps_its_promises(check):
    asyncio.run(check.run(HONEST))


def test_one_that_forgets_its_keys_is_found():
    with pytest.raises(ExceptionGroup, match="safe breaks") as caught:
        asyncio.run(connector_kit.run(subject(Safe(forgets=True))))
    assert any("same key" in str(each) for each in caught.value.exceptions)
"""


def ran_in(folder: Path, files: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run plain pytest, which is all she has, on these files."""
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    own = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    own["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("files", "passed"),
    [
        pytest.param({"sagas.py": SAGAS, "test_sagas.py": TESTS}, "5 passed", id="a saga"),
        pytest.param({"safe.py": CONNECTOR, "test_safe.py": KIT}, " passed", id="a connector of her own"),
        pytest.param(files_of(DOCS / "writing-a-connector.md"), "12 passed", id="the connector of the documentation"),
    ],
)
def test_her_tests_pass_in_a_project_of_her_own(files: dict[str, str], passed: str, tmp_path: Path) -> None:
    ran = ran_in(tmp_path, files)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert passed in ran.stdout
    assert "failed" not in ran.stdout


@pytest.mark.timeout(120)
def test_a_test_of_hers_that_fails_shows_why_the_run_did_not_end_as_she_thought(tmp_path: Path) -> None:
    shown = ran_in(tmp_path, {"sagas.py": SAGAS, "test_sagas.py": UNFORESEEN}).stdout
    assert "AssertionError: assert 'parked' == 'compensated'" in shown
    assert "Parked at charge since" in shown
    assert "KeyError: 'charge'" in shown
    assert "AssertionError: assert 'compensated' == 'completed'" in shown
    assert "✖ refused: no truck" in shown
    assert "Not in replies, so really called: charge, charge.undo." in shown
