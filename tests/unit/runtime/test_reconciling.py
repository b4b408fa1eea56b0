"""What a run wants beside what it has: nothing begins twice, and nothing goes on that is not wanted any more."""

import pytest

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.commands import Command
from amends.coordinator.runtime.dispatch import Dispatch
from amends.coordinator.runtime.runs import Run, identity_of
from amends.coordinator.runtime.work import Work
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.instants import SECOND
from amends.testing import late
from tests.unit.runtime.sagas import Done, order_saga


@pytest.fixture
def begun() -> tuple[Dispatch, Run, Command, Work]:
    """A run whose first step runs."""
    clock = Clock()
    store = MemoryStore(clock=clock)
    store.migrate(shards=1)
    installation = World(store, order_saga(), clock=clock, replies={"a": late(Done(key="k"), after="10s")})
    installation.publish({"id": "A"})
    installation.run(until=clock.now + SECOND)
    dispatch = installation.engine.dispatch
    (run,), (work,) = installation.engine.runs.values(), dispatch._works.values()
    return dispatch, run, run.running[work.identity], work


def test_what_runs_is_not_begun_again(begun: tuple[Dispatch, Run, Command, Work]) -> None:
    dispatch, run, command, work = begun
    run.begun.clear()  # As if it were a question: it may be asked again under its number.
    assert dispatch.reconcile(run, [command]) == {}
    assert list(run.running) == [work.identity]
    assert not work.told_to_stop()


def test_what_runs_and_is_not_wanted_any_more_is_stopped(begun: tuple[Dispatch, Run, Command, Work]) -> None:
    dispatch, run, _, work = begun
    assert dispatch.reconcile(run, []) == {}
    assert run.running == {}
    assert work.told_to_stop()


def test_what_has_begun_once_is_not_begun_again(begun: tuple[Dispatch, Run, Command, Work]) -> None:
    dispatch, run, command, _ = begun
    run.running.clear()
    assert dispatch.reconcile(run, [command]) == {}


@pytest.mark.parametrize("wanted", [pytest.param(True, id="it stays put off"), pytest.param(False, id="or is dropped")])
def test_what_is_put_off_is_not_begun_before_its_time(
    begun: tuple[Dispatch, Run, Command, Work], *, wanted: bool
) -> None:
    dispatch, run, command, _ = begun
    run.running.clear()
    run.begun.clear()
    run.put_off[identity_of(command)] = command
    assert dispatch.reconcile(run, [command] if wanted else []) == {}
    assert list(run.put_off) == [identity_of(command)] * wanted
