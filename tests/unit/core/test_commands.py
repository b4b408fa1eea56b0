"""Commands: what the runtime should be doing, read off the state; when it must look again; what it waits for."""

from collections.abc import Callable

import pytest

from amends.coordinator.core.commands import Command, commands, missing_handler, next_due
from amends.coordinator.core.plan import plan_of
from amends.coordinator.definition.form import DefinitionForm
from amends.schemas.events import RetryScheduled
from amends.schemas.instants import MILLISECOND
from tests.simulation.definitions import TIMEOUT_MS, action, pivot, read, retriable, saga
from tests.simulation.run import BEGIN, Run


def only(run: Run) -> Command:
    """The one handler that should be running."""
    (command,) = run.wanted()
    return command


def test_an_attempt_is_named_by_its_number_and_has_a_time_limit() -> None:
    run = Run.of(saga(action("a")))
    run.unavailable("a")
    run.tick()
    assert only(run) == Command(
        path="a",
        direction="forward",
        role="step",
        number=2,
        handler="a",
        timeout_at=run.now + TIMEOUT_MS * MILLISECOND,
        not_before=None,
    )


def test_an_undo_runs_the_undos_handler() -> None:
    run = Run.of(saga(action("a"), read("bad")))
    run.ok("a")
    run.refused("bad")
    command = only(run)
    assert (command.path, command.direction, command.role, command.handler) == ("a", "undo", "undo", "a.undo")


def test_a_question_is_named_by_its_number_and_may_be_put_off() -> None:
    run = Run.of(saga(action("a", verify=True)))
    run.ok("a")
    first = only(run)
    assert (first.role, first.handler, first.timeout_at, first.not_before) == ("verify", "a.verify", None, None)
    run.denies("a")
    second = only(run)
    put_off = run.events[-1]
    assert isinstance(put_off, RetryScheduled)
    assert second.number == put_off.attempt == first.number + 1
    assert second.not_before == run.now + 100 * MILLISECOND


def test_a_lookup_and_an_undos_read_back_ask_about_doubt() -> None:
    run = Run.of(saga(action("a", lookup=True)))
    run.unknown("a")
    assert (only(run).role, only(run).handler) == ("lookup", "a.lookup")
    run.finds("a")
    run = Run.of(saga(action("a"), read("bad")))
    run.ok("a")
    run.refused("bad")
    run.unknown("undo of a")
    command = only(run)
    assert (command.role, command.direction, command.handler) == ("verify", "undo", "a.undo.verify")


def test_parked_attempts_go_on_and_questions_do_not() -> None:
    run = Run.of(saga(action("a", ()), action("b", (), verify=True), action("c", ())))
    run.ok("b")
    assert run.doing() == ["a", "b.verify", "c"]
    run.unknown("c")
    assert run.status == "parked"
    assert run.doing() == ["a"]


def test_nothing_of_the_way_forward_is_asked_behind_the_frozen_undo_list() -> None:
    run = Run.of(saga(action("a", tombstones=True, lookup=True)))
    run.cancel()
    run.unknown("a")
    assert run.doing() == ["a.undo"]


def test_what_a_person_leaves_in_the_world_is_asked_about_no_more() -> None:
    run = Run.of(saga(action("a", (), lookup=True, settle_within_ms=1_000), action("b", (), lookup=True)))
    run.cancel()
    run.unknown("a")
    while run.status == "compensating":
        run.cannot_say("a")
    run.unknown("b")
    run.resolve("a", "skip")
    assert run.doing() == ["b.lookup"]


def waiting_for_retry() -> Run:
    run = Run.of(saga(action("a")))
    run.unavailable("a", retry_after_ms=3_000)
    return run


def undo_waiting_for_retry() -> Run:
    run = Run.of(saga(action("a"), read("bad")))
    run.ok("a")
    run.refused("bad")
    run.unavailable("undo of a", retry_after_ms=3_000)
    return run


def doubtful_in_the_drain() -> Run:
    run = Run.of(saga(action("a", key=True)))
    run.cancel()
    run.now += 2_900 * MILLISECOND
    run.unknown("a")
    return run


def given_up_in_the_drain() -> Run:
    """A retry without doubt waits no more; only the open attempt is awaited."""
    run = Run.of(saga(action("a", ()), action("b", (), drain_within_ms=4_000)))
    run.unavailable("a", retry_after_ms=1_000)
    run.cancel()
    return run


def parked() -> Run:
    run = Run.of(saga(action("a")))
    run.unknown("a")
    return run


def ended() -> Run:
    run = Run.of(saga(action("a")))
    run.ok("a")
    return run


def retry_behind_the_pivot() -> Run:
    run = Run.of(saga(pivot("pay"), retriable("ship"), deadline_ms=1_000))
    run.ok("pay")
    run.unavailable("ship", retry_after_ms=3_000)
    return run


@pytest.mark.parametrize(
    ("run", "due_ms"),
    [
        pytest.param(lambda: Run.of(saga(action("a"), deadline_ms=9_000)), 9_000, id="the deadline"),
        pytest.param(lambda: Run.of(saga(action("a"), wall_ms=7_000)), 7_000, id="the wall time"),
        pytest.param(waiting_for_retry, 3_000, id="a retry"),
        pytest.param(undo_waiting_for_retry, 3_000, id="an undo's retry"),
        pytest.param(given_up_in_the_drain, 5_000, id="in the drain, the end of waiting for what runs"),
        pytest.param(retry_behind_the_pivot, 3_000, id="behind the pivot only the retry"),
        pytest.param(parked, None, id="parked, nothing"),
        pytest.param(ended, None, id="ended, nothing"),
    ],
)
def test_when_the_run_must_be_looked_at_again(run: Callable[[], Run], due_ms: int | None) -> None:
    stands = run()
    expected = None if due_ms is None else BEGIN + due_ms * MILLISECOND
    assert next_due(stands.plan, stands.get()) == expected


def test_a_doubt_that_waits_to_be_sent_again_in_the_drain_has_its_instant() -> None:
    run = doubtful_in_the_drain()
    assert next_due(run.plan, run.get()) == run.effect("a").due_at


def test_a_missing_handler_is_no_instant_to_wait_for() -> None:
    run = waiting_for_retry()
    lacking = plan_of(run.plan.form, missing=frozenset({"a"}))
    assert next_due(lacking, run.get()) == run.get().deadline_at
    run = undo_waiting_for_retry()
    lacking = plan_of(run.plan.form, missing=frozenset({"a.undo"}))
    assert next_due(lacking, run.get()) is None


def started(form: DefinitionForm, *missing: str) -> Run:
    return Run.of(form, missing=frozenset(missing))


def undoing_without(*missing: str) -> Run:
    run = started(saga(action("a"), read("bad"), action("later")), *missing)
    run.ok("a")
    run.refused("bad")
    return run


def asked_without_a_verify() -> Run:
    run = started(saga(action("a", verify=True)), "a.verify")
    run.ok("a")
    return run


def parked_without() -> Run:
    run = started(saga(action("a"), action("b")), "b")
    run.unknown("a")
    return run


def retrying_beside_a_missing_one() -> Run:
    run = started(saga(action("a", ()), action("b", ())), "b")
    run.unavailable("a")
    return run


def lacking_since(run: Run, *missing: str) -> Run:
    """The same run on a worker without these handlers."""
    run.plan = plan_of(run.plan.form, missing=frozenset(missing))
    return run


def lost_without_its_handler() -> Run:
    run = lacking_since(Run.of(saga(action("a", key=True))), "a")
    run.recovers()
    return run


def ended_beside_a_lookup() -> Run:
    run = Run.of(saga(action("a", ()), action("b", (), lookup=True)))
    run.cancel()
    run.raises("a")
    run.unknown("b")
    return lacking_since(run, "b.lookup")


def undoing_behind_a_retry_given_up() -> Run:
    run = Run.of(saga(action("a", ()), action("b", ())))
    run.ok("a")
    run.unavailable("b")
    lacking_since(run, "a.undo").cancel()
    return run


def lost_until_its_key_was_forgotten() -> Run:
    run = lacking_since(Run.of(saga(action("a", key=True, window_ms=8_000))), "a")
    run.recovers()
    run.now += 60_000 * MILLISECOND
    return run


def undo_lost_without_its_handler() -> Run:
    run = Run.of(saga(action("a", key=True, undo_verify=False), read("bad")))
    run.ok("a")
    run.refused("bad")
    lacking_since(run, "a.undo").recovers()
    return run


def retry_given_up_in_the_drain() -> Run:
    run = Run.of(saga(action("a", ()), action("b", (), lookup=True)))
    run.unavailable("a")
    run.cancel()
    run.unknown("b")
    return run


@pytest.mark.parametrize(
    ("run", "handler"),
    [
        pytest.param(lambda: started(saga(action("a"))), None, id="nothing is missing"),
        pytest.param(lambda: started(saga(action("a")), "a"), "a", id="the only step"),
        pytest.param(lambda: started(saga(action("a", ()), action("b", ())), "b"), None, id="others are at work"),
        pytest.param(retrying_beside_a_missing_one, None, id="others will be at work"),
        pytest.param(lambda: started(saga(action("a"), action("b")), "b"), None, id="not yet needed"),
        pytest.param(asked_without_a_verify, "a.verify", id="a read-back"),
        pytest.param(lambda: undoing_without("a.undo"), "a.undo", id="an undo"),
        pytest.param(lambda: undoing_without("later"), None, id="a step that is not needed any more"),
        pytest.param(lambda: lacking_since(waiting_for_retry(), "a"), "a", id="a retry"),
        pytest.param(lambda: lacking_since(undo_waiting_for_retry(), "a.undo"), "a.undo", id="an undo's retry"),
        pytest.param(lambda: lacking_since(undo_waiting_for_retry(), "a"), None, id="an undo's retry, another step"),
        pytest.param(lambda: lacking_since(doubtful_in_the_drain(), "a"), "a", id="a doubt to be sent again"),
        pytest.param(
            lambda: lacking_since(retry_given_up_in_the_drain(), "a", "b.lookup"),
            "b.lookup",
            id="the drain's lookup",
        ),
        pytest.param(lost_without_its_handler, "a", id="a lost request to be sent again"),
        pytest.param(ended_beside_a_lookup, "b.lookup", id="beside a step that needs no settling"),
        pytest.param(undoing_behind_a_retry_given_up, "a.undo", id="behind a retry that was given up"),
        pytest.param(lost_until_its_key_was_forgotten, "a", id="a lost request that can not be sent again any more"),
        pytest.param(undo_lost_without_its_handler, "a.undo", id="a lost undo to be sent again"),
        pytest.param(parked_without, None, id="parked: it waits for a person"),
    ],
)
def test_what_nothing_but_a_handlers_arrival_would_move_on(run: Callable[[], Run], handler: str | None) -> None:
    stands = run()
    assert missing_handler(stands.plan, stands.get(), stands.now) == handler


def test_an_ended_run_wants_nothing() -> None:
    run = started(saga(action("a"), action("b", ())), "a.undo")
    run.kill()
    assert commands(run.plan, run.get(), run.now) == ()
    assert missing_handler(run.plan, run.get(), run.now) is None
