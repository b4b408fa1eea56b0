"""Runs that have ended and are still to be read back: out of memory until then, and found again after every stop."""

import pytest

from amends.coordinator.core.evolve import fold
from amends.coordinator.core.proof import proof_of
from amends.coordinator.core.state import State
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.testing.world import World
from amends.schemas.entry import decode
from amends.schemas.instants import SECOND
from amends.testing import ok, raises, world
from tests.replay.sagas import read_back_saga

HOUR = 3600 * SECOND


def played() -> World:
    installation = world(read_back_saga())
    installation.publish({"id": "R-77", "order": "A-12"})
    installation.run(until=installation.clock.now + HOUR)
    return installation


def row_of(installation: World) -> RunRow:
    (row,) = installation.store.runs()
    return row


def state_of(installation: World) -> State:
    return fold(decode(stored.data) for stored in installation.store.entries_of(row_of(installation).saga_id))


def test_it_has_ended_and_stands_among_those_that_wait_until_it_is_read_back() -> None:
    installation = played()
    row = row_of(installation)
    assert (row.status, row.waiting_for) == ("waiting", "verification of charge: 2026-01-01T02:00:00.000000Z")
    assert row.ended_at is not None
    assert (state_of(installation).status, proof_of(state_of(installation))) == ("completed", "pending")
    assert installation.engine.runs == {}
    installation.run(until=installation.clock.now + 2 * HOUR)
    row = row_of(installation)
    assert (row.status, row.waiting_for, row.next_due_at) == ("completed", None, None)
    assert proof_of(state_of(installation)) == "proven"


@pytest.mark.parametrize("stops", [1, 3])
def test_it_is_read_back_after_stops_of_its_worker(stops: int) -> None:
    installation = played()
    for _ in range(stops):
        installation.crash()
        installation.run(until=installation.clock.now + 60 * SECOND)
        assert row_of(installation).status == "waiting"
    installation.run(until=installation.clock.now + 2 * HOUR)
    assert proof_of(state_of(installation)) == "proven"


def test_its_instant_may_come_while_no_worker_runs() -> None:
    installation = played()
    installation.crash()
    installation.clock.now += 5 * HOUR
    installation.run(until=installation.clock.now + 60 * SECOND)
    assert proof_of(state_of(installation)) == "proven"


def test_a_read_back_that_fails_flags_it_and_says_why() -> None:
    installation = world(read_back_saga(), replies={"charge.verify": raises(OSError("no bank"))})
    installation.publish({"id": "R-77", "order": "A-12"})
    installation.run(until=installation.clock.now + 3 * HOUR)
    state = state_of(installation)
    assert proof_of(state) == "flagged"
    assert state.verifications
    assert "no bank" in (state.verifications[0].message or "")


def test_a_duplicate_meanwhile_is_one() -> None:
    installation = played()
    installation.publish({"id": "R-77", "order": "A-12"})
    installation.run(until=installation.clock.now + 60 * SECOND)
    assert row_of(installation).duplicates == 1


def test_each_answer_is_an_outcome_that_replaces_the_former() -> None:
    installation = world(read_back_saga(), replies={"charge.verify": [ok(value=False), ok(value=True)]})
    installation.publish({"id": "R-77", "order": "A-12"})
    installation.run(until=installation.clock.now + 3 * HOUR)
    state = state_of(installation)
    assert proof_of(state) == "proven"
    assert state.superseded_version is not None
    assert state.outcome_version == state.version
