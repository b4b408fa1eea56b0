"""After a stop of its owner: what was running is lost, and a run that keeps killing its worker is found (rule 19)."""

import pytest

from amends.coordinator.core.commands import missing_handler
from amends.coordinator.core.plan import plan_of
from amends.coordinator.core.recovery import is_suspect, was_running
from tests.simulation.definitions import action, read, saga
from tests.simulation.run import Run


def test_a_run_that_was_doing_nothing_is_not_touched() -> None:
    run = Run.of(saga(action("a", ()), action("b", ("a",))))
    run.unavailable("a")
    assert not was_running(run.plan, run.get())
    assert run.recovers() == []
    assert run.tick() == ["request a"]


@pytest.mark.parametrize(
    ("clean", "message"), [(True, "its worker stopped"), (False, "its worker died or was replaced")]
)
def test_an_open_attempt_is_in_doubt(message: str, *, clean: bool) -> None:
    run = Run.of(saga(action("a")))
    assert run.recovers(clean=clean)[:2] == ["resumed (recovery)", "a in doubt (lost)"]
    doubt = run.effect("a").doubt
    assert doubt is not None
    assert (doubt.message, doubt.loose, doubt.running) == (message, True, False)


def test_a_lost_read_is_asked_again_and_costs_no_attempt() -> None:
    run = Run.of(saga(read("look", attempts=1)))
    assert run.recovers() == ["resumed (recovery)", "look failed (withdrawn)", "retry look"]
    assert run.tick() == ["request look"]
    assert run.effect("look").counted == 1


def test_an_attempt_that_ran_past_its_timeout_is_lost_too() -> None:
    run = Run.of(saga(action("a", key=True)))
    run.times_out("a")
    assert run.recovers() == ["resumed (recovery)", "a in doubt (lost)", "request a again"]


def test_every_open_attempt_is_lost() -> None:
    run = Run.of(saga(action("a", (), key=True), action("b", (), lookup=True), read("look", ())))
    assert run.recovers() == [
        "resumed (recovery)",
        "a in doubt (lost)",
        "b in doubt (lost)",
        "look failed (withdrawn)",
        "request a again",
        "retry look",
    ]
    assert run.doing() == ["a", "b.lookup"]


def test_a_lost_undo_is_settled_like_any_other() -> None:
    run = Run.of(saga(action("a"), read("bad")))
    run.ok("a")
    run.refused("bad")
    assert run.recovers() == ["resumed (recovery)", "undo of a in doubt (lost)"]
    assert run.doing() == ["a.undo.verify"]


def test_an_open_attempt_of_a_parked_run_is_recorded_as_lost() -> None:
    run = Run.of(saga(action("a", ()), action("b", ())))
    run.unknown("b")
    assert run.status == "parked"
    assert run.recovers() == ["resumed (recovery)", "a in doubt (lost)"]
    assert run.status == "parked"


def test_questions_of_a_parked_run_were_not_open() -> None:
    run = Run.of(saga(action("a", lookup=True, settle_within_ms=1_000)))
    run.unknown("a")
    while run.status == "running":
        run.cannot_say("a")
    assert not was_running(run.plan, run.get())
    assert run.recovers() == []


@pytest.mark.parametrize("asked", ["verify", "lookup", "undo verify"])
def test_an_open_question_counts_as_running_but_nothing_of_it_is_lost(asked: str) -> None:
    run = Run.of(saga(action("a", verify=asked == "verify", lookup=True), read("bad")))
    if asked == "lookup":
        run.unknown("a")
    else:
        run.ok("a")
    if asked == "undo verify":
        run.refused("bad")
        run.ok("undo of a")
    before = run.doing()
    assert was_running(run.plan, run.get())
    assert run.recovers() == ["resumed (recovery)"]
    assert run.doing() == before


@pytest.mark.parametrize(
    ("asked", "handler"), [("verify", "a.verify"), ("lookup", "a.lookup"), ("undo verify", "a.undo.verify")]
)
def test_a_question_whose_handler_is_missing_was_not_asked_and_has_killed_nobody(asked: str, handler: str) -> None:
    run = Run.of(saga(action("a", verify=asked == "verify", lookup=True), read("bad")))
    if asked == "lookup":
        run.unknown("a")
    else:
        run.ok("a")
    if asked == "undo verify":
        run.refused("bad")
        run.ok("undo of a")
    run.plan = plan_of(run.plan.form, missing=frozenset({handler}))
    assert not was_running(run.plan, run.get())
    assert [run.recovers() for _ in range(5)] == [[]] * 5


def test_doubts_behind_the_frozen_undo_list_were_not_being_asked() -> None:
    run = Run.of(saga(action("a")))
    run.raises("a")
    run.unavailable("undo of a")
    assert (run.effect("a").phase, run.effect("undo of a").phase) == ("ended", "retrying")
    assert not was_running(run.plan, run.get())


def test_two_unclean_stops_in_a_row_make_a_suspect() -> None:
    run = Run.of(saga(action("a", key=True)))
    assert not is_suspect(run.plan, run.get(), clean=False)
    assert run.recovers()[0] == "resumed (recovery)"
    assert is_suspect(run.plan, run.get(), clean=False)
    assert not is_suspect(run.plan, run.get(), clean=True)
    assert run.recovers()[0] == "resumed (recovery) alone"


def test_a_clean_stop_suspects_nobody() -> None:
    run = Run.of(saga(action("a", key=True)))
    for _ in range(5):
        assert run.recovers(clean=True)[0] == "resumed (recovery)"
    assert not is_suspect(run.plan, run.get(), clean=False)


def test_a_run_that_was_idle_is_no_suspect() -> None:
    run = Run.of(saga(action("a", key=True)))
    run.recovers()
    assert run.withdrawn("a")[-1] == "retry a"
    assert not is_suspect(run.plan, run.get(), clean=False)
    assert run.recovers() == []


def test_an_answer_of_its_own_clears_a_suspect() -> None:
    run = Run.of(saga(action("a", key=True), action("b", key=True)))
    run.recovers()
    run.ok("a")
    assert not is_suspect(run.plan, run.get(), clean=False)
    assert run.recovers()[0] == "resumed (recovery)"


def test_a_run_that_kills_its_worker_twice_while_alone_is_poison() -> None:
    run = Run.of(saga(action("a", key=True)))
    told = [run.recovers() for _ in range(4)]
    assert [each[0] for each in told] == [
        "resumed (recovery)",
        "resumed (recovery) alone",
        "resumed (recovery) alone",
        "resumed (recovery)",
    ]
    assert told[-1] == ["resumed (recovery)", "a in doubt (lost)", "parked forward: a (poison)"]
    parked = run.get().parked
    assert parked is not None
    assert parked.why == "its worker died each time it ran"


def test_a_clean_stop_is_no_further_evidence_of_poison() -> None:
    run = Run.of(saga(action("a", key=True)))
    for _ in range(3):
        run.recovers()
    assert run.recovers(clean=True)[-1] == "request a again"


def test_poison_in_a_compensation_parks_it() -> None:
    run = Run.of(saga(action("a", key=True, undo_verify=False), read("bad")))
    run.ok("a")
    run.refused("bad")
    for _ in range(3):
        run.recovers()
    assert run.recovers()[-1] == "parked undo: a (poison)"


def test_a_person_gives_poison_a_clean_slate() -> None:
    run = Run.of(saga(action("a", key=True)))
    for _ in range(4):
        run.recovers()
    assert run.resolve("a", "retry") == ["resolved a: retry", "request a again"]
    assert not is_suspect(run.plan, run.get(), clean=False)
    assert run.recovers()[0] == "resumed (recovery)"


def test_a_lost_request_that_never_arrived_waits_for_its_handler() -> None:
    run = Run.of(saga(action("a", lookup=True)))
    whole, run.plan = run.plan, plan_of(run.plan.form, missing=frozenset({"a"}))
    run.recovers()
    assert run.denies("a") == ["a settled: absent by lookup"]
    assert missing_handler(run.plan, run.get(), run.now) == "a"
    assert run.passes(60_000) == []
    run.plan = whole
    assert run.passes(1) == ["request a again"]


def test_a_lost_undo_that_never_arrived_waits_for_its_handler() -> None:
    run = Run.of(saga(action("a"), read("bad")))
    run.ok("a")
    run.refused("bad")
    whole, run.plan = run.plan, plan_of(run.plan.form, missing=frozenset({"a.undo"}))
    run.recovers()
    assert run.denies("undo of a") == ["ask about undo of a later"], "the read-back may lag"
    assert run.denies("undo of a") == ["undo of a settled: absent by readback"]
    assert missing_handler(run.plan, run.get(), run.now) == "a.undo"
    run.plan = whole
    assert run.passes(1) == ["request undo of a again"]
