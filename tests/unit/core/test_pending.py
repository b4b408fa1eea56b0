"""Pending effects: answered by a message, in doubt without one, and for the record where the answer comes too late."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.messages import Pends
from amends.coordinator.core.pending import effect_at, place_of
from amends.coordinator.core.people import resolutions
from amends.coordinator.core.waiting import open_waits, rests, waited_for
from amends.coordinator.reading.exposure import exposure_of
from amends.schemas import events as e
from amends.schemas.instants import MILLISECOND, SECOND, text_of
from amends.schemas.message import Answer
from tests.simulation.definitions import action, pivot, read, retriable, saga
from tests.simulation.run import BEGIN, Run

PENDING: Final = 10_000
PENDS: Final = Pends(correlation="K-1", within_ms=PENDING)


def pending(**options: Any) -> Run:
    """A run whose only step that matters is pending."""
    run = Run.of(saga(action("book", pending_ms=PENDING, **options), read("look")))
    run.pends("book")
    return run


def undoing(**options: Any) -> Run:
    """A run whose undo is pending."""
    run = Run.of(saga(action("book", undo_pending_ms=PENDING, **options), action("pay")))
    run.ok("book")
    run.refused("pay")
    run.pends("undo of book", "U-1")
    return run


def test_what_is_pending_says_under_which_key_and_until_when() -> None:
    run = pending()
    event = run.events[-1]
    assert isinstance(event, e.StepPending)
    assert (event.path, event.direction, event.attempt, event.correlation) == ("book", "forward", 1, "K-1")
    assert (event.external_id, event.timeout_at) == ("taken-book", text_of(BEGIN + PENDING * MILLISECOND))


def test_nothing_runs_for_it_and_a_run_in_which_nothing_else_goes_on_says_what_it_waits_for() -> None:
    run = pending()
    assert run.doing() == []
    assert waited_for(run.plan, run.get()) == f"book: an answer for K-1 until {text_of(BEGIN + 10 * SECOND)}"
    assert rests(run.plan, run.get())
    assert next_due(run.plan, run.get()) == BEGIN + 10 * SECOND
    assert {place: awaited.correlation for place, awaited in open_waits(run.get()).items()} == {"book": "K-1"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param("succeeded", ["answer for book: succeeded", "book succeeded", "request look"], id="succeeded"),
        pytest.param(
            "refused",
            [
                "answer for book: refused",
                "book failed (refused)",
                "drain (failed)",
                "compensate nothing",
                "compensated",
            ],
            id="refused",
        ),
        pytest.param(
            "unavailable",
            ["answer for book: unavailable", "book failed (unavailable)", "new key for book", "retry book"],
            id="unavailable is tried again under a new key",
        ),
    ],
)
def test_an_answer_says_what_came_of_it(said: Answer, expected: list[str]) -> None:
    run = pending()
    assert run.answers("book", said=said, result={"slot": 7}) == expected


def test_the_content_of_an_answer_is_the_step_s_result_and_its_id_what_the_participant_said_first() -> None:
    run = pending()
    run.answers("book", result={"slot": 7})
    assert run.payloads[run.effect("book").result or ""] == b'{"slot":7}'
    assert run.effect("book").external_id == "taken-book"


def test_a_verify_is_asked_before_an_answered_step_counts() -> None:
    run = pending(verify=True)
    assert run.answers("book") == ["answer for book: succeeded", "book succeeded"]
    assert run.doing() == ["book.verify"]


def test_who_does_not_know_leaves_it_in_doubt_and_may_know_later() -> None:
    run = pending(lookup=True)
    assert run.answers("book", said="unknown") == ["answer for book: unknown", "book in doubt (in_doubt)"]
    assert run.doing() == ["book.lookup"]
    assert run.answers("book", said="unknown") == ["answer for book: unknown"]
    assert run.answers("book") == ["answer for book: succeeded", "book succeeded", "request look"]


def test_an_answer_that_is_no_result_says_that_it_acted_but_not_what_it_did() -> None:
    run = pending()
    assert run.answers_wrongly("book") == [
        "answer for book: succeeded",
        "book settled: ended by exception",
        "drain (failed)",
        "compensate book",
        "request undo of book",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"lookup": True}, ["book in doubt (timeout)"], id="its lookup is asked"),
        pytest.param({"key": True}, ["book in doubt (timeout)", "retry book"], id="the same request is sent again"),
        pytest.param({}, ["book in doubt (timeout)", "parked forward: book (in_doubt)"], id="a person decides"),
    ],
)
def test_without_an_answer_in_time_it_is_in_doubt(options: dict[str, Any], expected: list[str]) -> None:
    run = pending(**options)
    assert run.passes(9_999) == []
    assert run.passes(1) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            {"key": True}, ["book failed (unavailable)", "new key for book", "retry book"], id="that knows the key"
        ),
        pytest.param({}, ["book in doubt (unavailable)", "parked forward: book (in_doubt)"], id="that does not"),
    ],
)
def test_what_a_participant_answers_is_said_of_a_lost_request_too(options: dict[str, Any], expected: list[str]) -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, **options)))
    run.recovers()
    if run.status == "parked":
        run.resolve("book", "retry")
    run.pends("book")
    assert run.answers("book", said="unavailable")[1:] == expected


def test_the_same_request_under_the_same_key_may_be_pending_again() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, key=True)))
    run.pends("book", "K-1")
    before = run.effect("book").key
    run.tick()
    assert run.tick() == ["request book again"]
    assert run.effect("book").key == before
    assert run.pends("book", "K-1") == ["book pending"]
    assert run.answers("book") == ["answer for book: succeeded", "book succeeded", "completed"]


@pytest.mark.parametrize("said", ["succeeded", "refused", "unavailable"])
@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(lambda _: None, id="while it is asked about"),
        pytest.param(lambda run: run.denies("book"), id="while it is asked again"),
    ],
)
def test_an_answer_settles_a_doubt_too(meanwhile: Callable[[Run], object], said: Answer) -> None:
    run = pending(lookup=True, settle_ms=5_000)
    run.tick()
    meanwhile(run)
    outcome = {"succeeded": "book succeeded", "refused": "book failed (refused)"}.get(said, "book failed (unavailable)")
    assert run.answers("book", said=said)[:2] == [f"answer for book: {said}", outcome]


def test_an_answer_comes_to_a_parked_run_too_and_a_person_sees_that() -> None:
    run = pending()
    run.tick()
    assert run.status == "parked"
    assert run.answers("book") == ["answer for book: succeeded", "book succeeded"]
    assert resolutions(run.plan, run.get()) == ("retry",)
    assert run.resolve("book", "retry") == ["resolved book: retry", "request look"]


def test_the_answer_to_another_request_changes_nothing() -> None:
    run = pending()
    assert run.answers("book", "K-2") == []


def test_the_second_answer_changes_nothing() -> None:
    run = pending()
    run.answers("book")
    assert run.answers("book", said="refused") == []


def test_an_answer_to_a_request_that_was_sent_again_since_is_not_taken_for_the_new_one() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, key=True)))
    run.pends("book", "K-1")
    run.tick()
    run.tick()
    assert run.answers("book", "K-1") == [], "the new request's own answer is awaited under the key that it will have"
    run.pends("book", "K-2")
    assert run.answers("book", "K-1") == []
    assert run.answers("book", "K-2")[-1] == "completed"


def test_a_request_under_a_new_key_may_not_be_pending_under_the_correlation_of_a_former_one() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, key=True)))
    run.pends("book", "A-12")
    run.answers("book", "A-12", said="unavailable")
    assert run.tick() == ["request book"]
    assert run.pends("book", "A-12") == ["book in doubt (invalid_result)", "retry book"]
    failure = run.effect("book").failure
    assert failure is not None
    assert failure.message == "pending under 'A-12', as an earlier request is or was: make a key for each request"


def test_where_the_participant_does_not_know_the_key_a_request_may_not_have_the_correlation_of_another() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, lookup=True)))
    run.pends("book", "K-1")
    run.tick()
    run.denies("book")
    assert run.tick() == ["request book again"]
    assert run.pends("book", "K-1")[0] == "book in doubt (invalid_result)"


def test_a_participant_knows_the_key_that_it_knew_when_it_was_asked() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, key=True, window_ms=20_000)))
    run.pends("book", "K-1")
    run.tick()
    assert run.tick() == ["request book again"]
    run.now += 20 * SECOND
    assert run.pends("book", "K-1") == ["book pending"]


def test_what_was_asked_for_under_a_used_correlation_may_still_land_late() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, lookup=True, settle_ms=60_000)))
    run.pends("book", "K-1")
    run.tick()
    while run.denies("book") == ["ask about book later"]:
        pass
    assert run.tick() == ["request book again"]
    run.pends("book", "K-1")
    assert run.denies("book") == ["ask about book later"], "an absence is believed once nothing can land any more"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("book", "undo of book", id="an undo under that of its step"),
        pytest.param("book", "pay", id="a step under that of another one"),
    ],
)
def test_no_effect_is_pending_under_the_correlation_of_another_one_of_its_run(first: str, second: str) -> None:
    steps = (action("book", (), pending_ms=PENDING, undo_pending_ms=PENDING), action("pay", (), pending_ms=PENDING))
    run = Run.of(saga(*steps))
    run.pends(first, "A-12")
    if second != "pay":
        run.answers(first, "A-12")
        run.refused("pay")
    assert run.pends(second, "A-12")[0] == f"{second} in doubt (invalid_result)"
    failure = run.effect(second).failure
    assert failure is not None
    assert failure.message == f"pending under 'A-12', as {first} is or was: make a key for each request"


def test_no_undo_is_pending_under_the_correlation_of_another_undo() -> None:
    run = Run.of(saga(action("book", undo_pending_ms=PENDING), action("pay", undo_pending_ms=PENDING), action("ship")))
    run.ok("book")
    run.ok("pay")
    run.refused("ship")
    run.pends("undo of pay", "A-12")
    run.answers("undo of pay", "A-12")
    run.finds("undo of pay")
    assert run.pends("undo of book", "A-12")[0] == "undo of book in doubt (invalid_result)"
    failure = run.effect("undo of book").failure
    assert failure is not None
    assert "as the undo of pay is or was" in failure.message


def test_a_crash_of_the_worker_cuts_nothing_off() -> None:
    run = pending()
    assert run.recovers() == []
    assert run.answers("book")[-1] == "request look"


def test_a_handler_that_returns_after_its_timeout_may_be_pending_still() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING)))
    run.times_out("book")
    assert run.reply("book", PENDS, attempt=1) == ["book pending"]
    assert run.effect("book").doubt is None
    assert run.answers("book")[-1] == "completed"


# Turning back


def test_in_the_drain_the_answer_is_awaited_longer_and_then_what_it_did_is_undone() -> None:
    run = pending(lookup=True)
    assert run.cancel() == ["drain (cancelled)"]
    assert run.status == "compensating"
    assert next_due(run.plan, run.get()) == BEGIN + 70 * SECOND
    assert rests(run.plan, run.get())
    assert run.passes(65_000) == []
    assert run.answers("book") == [
        "answer for book: succeeded",
        "book succeeded",
        "compensate book",
        "request undo of book",
    ]


def test_in_the_drain_a_refusal_leaves_nothing_to_undo() -> None:
    run = pending()
    run.cancel()
    assert run.answers("book", said="refused")[1:] == ["book failed (refused)", "compensate nothing", "compensated"]


def test_in_the_drain_what_nobody_answers_for_is_settled_as_any_doubt() -> None:
    run = pending(lookup=True)
    run.cancel()
    assert run.tick() == ["book in doubt (timeout)"]
    assert run.finds("book") == ["book settled: present by lookup", "compensate book", "request undo of book"]


def test_in_the_drain_the_request_may_be_sent_again_until_somebody_answers() -> None:
    run = pending(key=True)
    run.cancel()
    assert run.tick() == ["book in doubt (timeout)", "retry book"]
    assert run.tick() == ["request book again"]
    assert run.pends("book", "K-1") == ["book pending"]
    assert run.answers("book")[1:] == ["book succeeded", "compensate book", "request undo of book"]


def test_what_refuses_a_late_request_is_undone_at_once() -> None:
    run = pending(tombstones=True)
    assert run.cancel() == [
        "drain (cancelled)",
        "book in doubt (in_doubt)",
        "book settled: tombstone by tombstone",
        "compensate book",
        "request undo of book",
    ]


def test_the_deadline_turns_a_pending_run_back() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING, tombstones=True), deadline_ms=5_000))
    run.pends("book")
    assert run.tick()[:2] == ["drain (deadline)", "book in doubt (in_doubt)"]


def test_a_pending_pivot_decides_which_way_a_cancelled_run_goes() -> None:
    run = Run.of(saga(action("book"), pivot("pay", pending_ms=PENDING, lookup=True), retriable("tell")))
    run.ok("book")
    run.pends("pay")
    run.cancel()
    assert run.answers("pay") == [
        "answer for pay: succeeded",
        "pay succeeded",
        "resumed (pivot_passed)",
        "request tell",
    ]


# Too late


def test_an_answer_after_a_tombstone_is_for_the_record_and_the_undo_goes_on() -> None:
    run = pending(tombstones=True)
    run.cancel()
    assert run.answers("book") == ["answer for book: succeeded", "late: book succeeded"]
    assert run.ok("undo of book") == ["undo of book succeeded"]
    run.finds("undo of book")
    assert (run.status, exposure_of(run.get())) == ("compensated", ())


def test_an_answer_after_the_undo_is_for_the_record() -> None:
    run = pending(tombstones=True)
    run.cancel()
    run.ok("undo of book")
    run.finds("undo of book")
    assert run.status == "compensated"
    assert list(open_waits(run.get())) == ["book"]
    assert run.answers("book") == ["answer for book: succeeded", "late: book succeeded"]
    assert exposure_of(run.get()) == ()
    assert open_waits(run.get()) == {}


@pytest.mark.parametrize("during", ["the compensation", "its end"])
def test_what_was_believed_absent_and_is_answered_for_after_all_is_left_in_the_world(during: str) -> None:
    run = Run.of(saga(action("pay"), action("book", pending_ms=PENDING, lookup=True, settle="wait")))
    run.ok("pay")
    run.pends("book")
    run.cancel()
    run.tick()
    assert run.denies("book") == ["book settled: absent by lookup", "compensate pay", "request undo of pay"]
    if during == "its end":
        run.ok("undo of pay")
        run.finds("undo of pay")
        assert run.status == "compensated"
    assert run.answers("book") == ["answer for book: succeeded", "late: book succeeded"]
    assert [(left.step, left.why) for left in exposure_of(run.get()) if left.step == "book"] == [
        ("book", "done, not undone")
    ]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        pytest.param("succeeded", ["done, not undone"], id="it is in the world"),
        pytest.param("refused", [], id="it is not"),
        pytest.param("unknown", ["may have happened, not settled"], id="nobody knows"),
    ],
)
def test_an_answer_after_a_kill_says_what_is_left_in_the_world(said: Answer, left: list[str]) -> None:
    run = pending()
    run.kill()
    assert [each.why for each in exposure_of(run.get())] == ["may have happened, not settled"]
    assert list(open_waits(run.get())) == ["book"]
    run.answers("book", said=said)
    assert [each.why for each in exposure_of(run.get())] == left


def test_a_handler_that_returns_after_a_kill_leaves_a_key_under_which_its_answer_is_heard() -> None:
    run = Run.of(saga(action("book", pending_ms=PENDING)))
    run.kill()
    assert run.reply("book", PENDS, attempt=1) == ["book pending"]
    assert [each.why for each in exposure_of(run.get())] == ["may have happened, not settled"]
    assert run.answers("book") == ["answer for book: succeeded", "late: book succeeded"]


# Undos


def test_an_undo_may_be_pending_and_counts_when_it_is_answered_for_and_verified() -> None:
    run = undoing()
    assert run.status == "compensating"
    assert list(open_waits(run.get())) == ["book.undo"]
    assert rests(run.plan, run.get())
    assert run.answers("undo of book", "U-1") == ["answer for undo of book: succeeded", "undo of book succeeded"]
    assert run.finds("undo of book") == ["undo of book verified by readback", "compensated"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param("refused", ["undo of book failed (refused)", "parked undo: book (refused)"], id="refused parks"),
        pytest.param(
            "unavailable",
            ["undo of book failed (unavailable)", "new key for undo of book", "retry undo of book"],
            id="unavailable is tried again",
        ),
        pytest.param("unknown", ["undo of book in doubt (in_doubt)"], id="unknown is read back"),
    ],
)
def test_an_answer_says_what_came_of_an_undo(said: Answer, expected: list[str]) -> None:
    run = undoing()
    assert run.answers("undo of book", "U-1", said=said)[1:] == expected


def test_an_undo_that_nobody_answers_for_is_in_doubt() -> None:
    run = undoing(key=True)
    assert run.tick() == ["undo of book in doubt (timeout)"]
    assert run.denies("undo of book") == ["retry undo of book"]


def test_the_answer_for_a_step_is_none_for_its_undo() -> None:
    run = undoing()
    assert run.answers("book", "U-1") == []


def test_an_answer_for_an_undo_that_a_person_left_is_for_the_record() -> None:
    run = Run.of(saga(action("book", undo_pending_ms=PENDING, undo_verify=False), action("pay")))
    run.ok("book")
    run.refused("pay")
    run.pends("undo of book", "U-1")
    run.tick()
    assert run.status == "parked"
    run.resolve("book", "skip")
    assert [each.why for each in exposure_of(run.get())] == ["left by a person's decision"]
    assert run.answers("undo of book", "U-1") == ["answer for undo of book: succeeded", "late: undo of book succeeded"]
    assert exposure_of(run.get()) == ()


@pytest.mark.parametrize(
    ("place", "effect"), [("ship[2]/book", ("ship[2]/book", "forward")), ("book.undo", ("book", "undo"))]
)
def test_the_place_of_an_effect_leads_back_to_it(place: str, effect: tuple[str, Any]) -> None:
    assert effect_at(place) == effect
    assert place_of(*effect) == place
