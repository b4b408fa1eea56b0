"""What a parked run is parked for: a step, or its undo."""

import pytest

from amends import Saga, StepUnknown, Topic
from amends.coordinator.core.plan import plan_of
from amends.coordinator.core.state import State
from amends.coordinator.reading.facts import parked_facts
from amends.coordinator.reading.parking import failure_of, meaning_of, parked_way
from amends.schemas import events as e
from amends.testing import Reply, fails, state, world
from tests.unit.reading.stories import History, Requested, draining, refund_plan, requested, started


def parked_in_the_drain() -> State:
    """A run that was cancelled while its step was in doubt, and that nothing could settle."""
    run = History()
    run.entry("14:02:07.110", started(), requested("reverse_charge"), cause="trigger")
    run.entry(
        "14:02:07.200",
        e.StepInDoubt(
            path="reverse_charge",
            direction="forward",
            attempt=1,
            reason="in_doubt",
            message="no answer",
            attempt_running=False,
        ),
        e.DrainStarted(cause="cancelled", failure=None, reason="ordered twice"),
    )
    run.entry("14:02:08.000", e.SagaParked(phase="undo", step="reverse_charge", kind="in_doubt", why="no answer"))
    return run.moments()[-1].state


def parked_forward() -> State:
    run = History()
    run.entry("14:02:07.110", started(), requested("reverse_charge"), cause="trigger")
    run.entry("14:02:08.000", e.SagaParked(phase="forward", step="reverse_charge", kind="in_doubt", why="no answer"))
    return run.moments()[-1].state


def parked_undoing() -> State:
    run = History()
    run.entry("14:02:07.110", started(), requested("reverse_charge"), cause="trigger")
    run.entry("14:02:07.500", *draining("notify", attempt=3, undo=("reverse_charge",)))
    run.entry("14:02:08.000", e.SagaParked(phase="undo", step="reverse_charge", kind="refused", why="closed"))
    return run.moments()[-1].state


def test_a_step_that_the_drain_cannot_settle_is_parked_for_itself_not_for_an_undo_that_was_never_begun() -> None:
    assert parked_way(parked_in_the_drain()) == "forward"


def test_its_failure_names_the_attempt_that_is_in_doubt() -> None:
    assert failure_of(parked_in_the_drain()) == e.Failure(
        step="reverse_charge", attempt=1, kind="in_doubt", message="no answer"
    )


def test_the_facts_say_that_a_step_is_in_doubt_though_the_run_turned_back() -> None:
    saga = Saga("order", version=1, trigger=Topic("orders", Requested, idempotency_key="request_id"))

    @saga.action(unsafe="a test")
    async def charge(trigger: Requested) -> None: ...

    @charge.undo(verify="reply")
    async def refund() -> None: ...

    @saga.action(unsafe="a test")
    async def reserve(trigger: Requested) -> None: ...

    @reserve.undo(verify="reply")
    async def release() -> None: ...

    lost = Reply(error=StepUnknown("no answer"), after_ms=1_000)
    installation = world(saga, replies={"charge": lost, "reserve": fails("sold out")})
    installation.publish({"request_id": "R-1", "order_id": "A-1"})
    installation.run()
    (row,) = installation.store.runs(limit=2)
    facts = parked_facts(row, state(installation, row.saga_id), plan_of(saga.close().form))
    assert (facts["phase"], facts["step"], facts["in_doubt"]) == ("forward", "charge", ["charge"])


@pytest.mark.parametrize(
    ("parked", "meaning"),
    [
        pytest.param(parked_in_the_drain(), "its effect is not in the world: it never came, or somebody took it out"),
        pytest.param(parked_forward(), "its effect is in the world: it came, or somebody did it"),
        pytest.param(parked_undoing(), "somebody has undone it: its effect is out of the world"),
    ],
    ids=["a step, turned back", "a step, on its way forward", "an undo"],
)
def test_what_done_by_hand_means_depends_on_what_the_run_is_parked_for(parked: State, meaning: str) -> None:
    assert meaning_of("done_by_hand", refund_plan(), parked) == meaning
    assert meaning_of("skip", refund_plan(), parked) == "its effect stays in the world; undo the rest"
