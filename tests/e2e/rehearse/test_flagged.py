"""A run that ends flagged though its world is what it should be is a finding; one that is flagged for cause is not."""

from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from amends import Saga, Sql, StepRefused, Topic
from amends.testing import Rehearsal, Sandbox, SqlStandIn, crash_matrix, rehearse

PROOF = Path(__file__).parents[3] / "examples/21_proof"
SCRIPT = "CREATE TABLE rooms (guest TEXT PRIMARY KEY); CREATE TABLE visits (guest TEXT)"
ROOMS = "SELECT count(*) AS n FROM rooms"
FREE = "SELECT 1 - count(*) AS n FROM rooms"
VISITS = "SELECT count(*) AS n FROM visits"

hotel = Sql("hotel", url="sqlite:///hotel.db")


class Guest(BaseModel):
    id: str
    leaves: bool = False


async def holds(statement: str) -> bool:
    return await hotel.read(lambda tx: tx.fetch_one(statement)) == {"n": 1}


def told(*, expects: str = VISITS, booked: str = ROOMS, freed: str = FREE, leaves: bool = False) -> Rehearsal:
    """A room is booked. `expects`, `booked`, `freed`: what must be 1 in the end, long after it, and after its undo."""
    saga = Saga("stay", trigger=Topic("guests", Guest, idempotency_key="id"), deadline="2d")

    @saga.read
    async def knock() -> None:
        await holds(ROOMS)

    @saga.action(dependency=hotel, after=knock)
    async def book(trigger: Guest) -> None:
        await hotel.perform(lambda tx: tx.execute("INSERT INTO rooms VALUES (?)", (trigger.id,)), returns=int)

    @book.verify(verify_after="1d", verify_within="1s")
    async def is_booked() -> bool:
        return await holds(booked)

    @book.undo
    async def free(trigger: Guest) -> None:
        await hotel.undo(lambda tx: tx.execute("DELETE FROM rooms WHERE guest = ?", (trigger.id,)))

    @free.verify(verify_after="1d", verify_within="1s")
    async def is_free() -> bool:
        return await holds(freed)

    @saga.action(dependency=hotel, after=book)
    async def write(trigger: Guest) -> None:
        if trigger.leaves:
            raise StepRefused("gone")
        await hotel.perform(lambda tx: tx.execute("INSERT INTO visits VALUES (?)", (trigger.id,)), returns=int)

    @write.undo(verify="reply")
    async def strike(trigger: Guest) -> None:
        await hotel.undo(lambda tx: tx.execute("DELETE FROM visits WHERE guest = ?", (trigger.id,)))

    @saga.expect
    async def is_as_hoped() -> bool:
        return await holds(expects)

    trigger = Guest(id="G-1", leaves=leaves)
    return rehearse(Sandbox(saga, triggers=[trigger], stand_ins=[SqlStandIn(hotel, script=SCRIPT)]))


def findings(found: Rehearsal) -> list[tuple[str, str, str]]:
    return [(each.kind, each.handler, each.when) for each in found.findings]


def test_what_holds_in_every_scenario_is_no_finding() -> None:
    found = told()
    assert found.findings == (), found
    assert found.undone["book"] > 20


@pytest.mark.parametrize(
    ("given", "handler", "said"),
    [
        pytest.param({"expects": "SELECT 2 AS n"}, "is_as_hoped", "'is_as_hoped' expects does not hold", id="expected"),
        pytest.param({"booked": "SELECT 2 AS n"}, "book.verify", "asked after the end, says no", id="read back later"),
        pytest.param(
            {"freed": "SELECT 2 AS n", "leaves": True},
            "book.undo.verify",
            "asked after the end, says no",
            id="an undo read back later",
        ),
    ],
)
def test_a_run_without_faults_that_is_flagged_is_told_once(given: dict[str, str], handler: str, said: str) -> None:
    found = told(**given)  # type: ignore[arg-type]
    assert findings(found) == [("flagged", handler, "nothing fails")]
    (finding,) = found.errors
    assert finding.message.startswith("a run without faults is flagged: ")
    assert said in finding.message
    assert finding.scenarios > 10
    assert not found.ok


def test_a_run_that_comes_through_a_fault_and_is_flagged_is_told_with_the_fault() -> None:
    saga = Saga("bell", trigger=Topic("guests", Guest, idempotency_key="id"))

    @saga.read
    async def ring() -> int:
        return 1

    @saga.action(dependency=hotel, after=ring)
    async def answer(trigger: Guest) -> None:
        await hotel.perform(lambda tx: tx.execute("INSERT INTO visits VALUES (?)", (trigger.id,)), returns=int)

    @answer.undo(verify="reply")
    async def leave(trigger: Guest) -> None:
        await hotel.undo(lambda tx: tx.execute("DELETE FROM visits WHERE guest = ?", (trigger.id,)))

    @saga.expect
    async def was_asked_once() -> bool:
        """What the inbox keeps is not part of the world: two requests of one effect are no difference there."""
        asked = await hotel.read(lambda tx: tx.fetch_one("SELECT max(epoch) AS n FROM amends_inbox"))
        return asked == {"n": 1}

    sandbox = Sandbox(saga, triggers=[Guest(id="G-1")], stand_ins=[SqlStandIn(hotel, script=SCRIPT)])
    found = rehearse(sandbox)
    (finding,) = found.findings
    assert (finding.kind, finding.handler, finding.severity) == ("flagged", "was_asked_once", "error")
    assert finding.message.startswith("the run comes through, and is flagged all the same: ")
    assert "the coordinator dies" in finding.when
    assert crash_matrix(sandbox).ok


def test_a_read_back_after_the_end_that_believes_everything_is_blind() -> None:
    found = told(booked="SELECT 1 AS n")
    assert [(each.kind, each.handler) for each in found.errors] == [("verify_blind", "book.verify")]


def test_the_example_of_proofs_is_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROOF))
    proof = import_module(next(PROOF.glob("*.py")).stem)
    house = SqlStandIn(proof.house, script="CREATE TABLE tickets (visitor TEXT, seats INTEGER)")
    found = rehearse(
        Sandbox(proof.sale, triggers=[{"request_id": "S-1", "visitor": "Ann", "seats": 2}], stand_ins=[house])
    )
    assert found.findings == (), found
    assert found.scenarios > 20
