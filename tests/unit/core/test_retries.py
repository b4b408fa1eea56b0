"""Retries are events with their instant in the log; what counts against a policy and what does not (rules 3 and 13)."""

import pytest

from amends.coordinator.core.retrying import attempts_left, delay_ms, polling_delay_ms
from amends.coordinator.definition.form import RetryForm
from amends.schemas import events as e
from amends.schemas.ids import SagaId
from amends.schemas.instants import MILLISECOND, instant_of
from tests.simulation.definitions import action, read, saga
from tests.simulation.run import Run

SAGA = SagaId("6f1f4c0e-0000-5000-8000-000000000000")
PLAIN = RetryForm(attempts=3, wait_ms=200, factor=2, jitter_percent=0, wait_max_ms=1_500)


def waited_ms(run: Run) -> int:
    """How long the retry that was just scheduled is put off."""
    event = next(event for event in reversed(run.events) if isinstance(event, e.RetryScheduled))
    return (instant_of(event.due_at) - run.now) // MILLISECOND


def test_an_unavailable_participant_is_asked_again_under_a_new_key() -> None:
    run = Run.of(saga(action("charge")))
    first = run.effect("charge").key
    assert run.unavailable("charge") == ["charge failed (unavailable)", "new key for charge", "retry charge"]
    assert run.doing() == []
    assert run.tick() == ["request charge"]
    assert run.effect("charge").generation == 1
    assert run.effect("charge").key not in {None, first}


def test_a_read_is_retried_without_a_key() -> None:
    run = Run.of(saga(read("look")))
    assert run.effect("look").key is None
    assert run.unavailable("look") == ["look failed (unavailable)", "retry look"]
    assert run.tick() == ["request look"]
    assert run.effect("look").key is None


@pytest.mark.parametrize("answer", ["unknown", "raises", "times_out"])
def test_a_read_is_never_in_doubt(answer: str) -> None:
    run = Run.of(saga(read("look")))
    assert getattr(run, answer)("look")[1:] == ["retry look"]
    assert run.effect("look").doubt is None


def test_nothing_is_requested_before_its_instant() -> None:
    run = Run.of(saga(action("charge")))
    run.unavailable("charge", retry_after_ms=3_000)
    assert run.passes(2_999) == []
    assert run.passes(1) == ["request charge"]


def test_attempts_are_bounded_by_the_policy() -> None:
    run = Run.of(saga(action("charge", attempts=3)))
    for _ in range(2):
        run.unavailable("charge")
        run.tick()
    assert run.effect("charge").attempt == 3
    decided = run.unavailable("charge")
    assert decided == ["charge failed (unavailable)", "drain (failed)", "compensate nothing", "compensated"]


def test_a_refusal_is_never_retried() -> None:
    run = Run.of(saga(action("charge", attempts=3)))
    assert run.refused("charge")[:2] == ["charge failed (refused)", "drain (failed)"]


def test_a_request_withdrawn_before_it_was_handed_over_costs_no_attempt_and_no_key() -> None:
    run = Run.of(saga(action("charge", attempts=1)))
    key = run.effect("charge").key
    assert run.withdrawn("charge") == ["charge failed (withdrawn)", "retry charge"]
    assert run.tick() == ["request charge again"]
    assert (run.effect("charge").key, run.effect("charge").attempt, run.effect("charge").counted) == (key, 2, 1)


def test_the_participants_own_wish_for_a_pause_is_kept() -> None:
    run = Run.of(saga(action("charge")))
    run.unavailable("charge", retry_after_ms=4_000)
    assert waited_ms(run) == 4_000


def test_a_wish_for_a_pause_is_kept_also_while_a_request_is_in_doubt() -> None:
    run = Run.of(saga(action("charge", key=True)))
    run.unknown("charge")
    run.tick()
    assert run.unavailable("charge", retry_after_ms=4_000) == [
        "charge in doubt (unavailable)",
        "retry charge",
    ], "nobody was reached: that says nothing about the first request"
    assert waited_ms(run) == 4_000


@pytest.mark.parametrize(
    ("counted", "expected_ms"),
    [(1, 200), (2, 400), (3, 800), (4, 1_500), (40, 1_500)],
    ids=["first", "doubled", "doubled again", "capped", "capped for ever"],
)
def test_waits_grow_by_the_policy_up_to_its_cap(counted: int, expected_ms: int) -> None:
    assert delay_ms(PLAIN, saga_id=SAGA, path="a", attempt=counted, counted=counted) == expected_ms


@pytest.mark.parametrize(
    ("wished_ms", "expected_ms"),
    [(None, 200), (10, 200), (700, 700), (60_000, 1_500)],
    ids=["no wish", "a shorter wish", "a longer wish", "a wish beyond the cap"],
)
def test_a_wish_counts_if_it_is_longer_up_to_the_cap(wished_ms: int | None, expected_ms: int) -> None:
    assert delay_ms(PLAIN, saga_id=SAGA, path="a", attempt=1, counted=1, retry_after_ms=wished_ms) == expected_ms


def test_jitter_spreads_runs_steps_and_attempts_within_its_share_and_is_the_same_each_time() -> None:
    retry = RetryForm(attempts=3, wait_ms=10_000, factor=2, jitter_percent=20, wait_max_ms=60_000)
    ids = [SagaId(f"6f1f4c0e-0000-5000-8000-{n:012}") for n in range(200)]
    waits = [delay_ms(retry, saga_id=each, path="a", attempt=1, counted=1) for each in ids]
    assert min(waits) >= 8_000
    assert max(waits) <= 12_000
    assert len(set(waits)) > 150
    assert max(waits) - min(waits) > 3_000
    assert waits == [delay_ms(retry, saga_id=each, path="a", attempt=1, counted=1) for each in ids]
    assert waits[0] != delay_ms(retry, saga_id=ids[0], path="b", attempt=1, counted=1)
    assert waits[0] != delay_ms(retry, saga_id=ids[0], path="a", attempt=2, counted=1)


def test_the_policy_counts_the_first_attempt() -> None:
    assert [attempts_left(PLAIN, counted) for counted in (0, 1, 2, 3, 4)] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("waited", "expected_ms"),
    [(0, 100), (150, 100), (1_000, 500), (9_000, 4_500), (600_000, 5_000)],
    ids=["at once", "soon", "a second later", "later", "every five seconds"],
)
def test_a_read_back_is_asked_soon_then_ever_less_often(waited: int, expected_ms: int) -> None:
    assert polling_delay_ms(waited) == expected_ms
