"""Waits: what begins one, what meets it, what ends it without, and what a run in which nothing else goes on says."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from amends.coordinator.core.commands import commands, next_due
from amends.coordinator.core.messages import Recovered, Tick
from amends.coordinator.core.people import resolutions
from amends.coordinator.core.waiting import open_waits, waited_for
from amends.coordinator.definition.expression import Compare, Reference, Value
from amends.coordinator.definition.form import Argument
from amends.schemas import events as e
from amends.schemas.instants import SECOND, text_of
from tests.simulation.definitions import action, pause, pivot, read, retriable, saga, until, wait
from tests.simulation.run import BEGIN, Run

ORDER: Final = {"order": "A-12", "ship_at": text_of(BEGIN + 30 * SECOND)}
OF_RESERVE: Final = Argument(source="result", step="reserve", field="parcel.id")


def waiting(**options: Any) -> Run:
    run = Run.of(saga(action("reserve"), wait("goods", **options), read("look")), trigger=ORDER)
    run.ok("reserve", {"parcel": {"id": 7}})
    return run


def started(run: Run) -> e.WaitStarted:
    return next(event for event in reversed(run.events) if isinstance(event, e.WaitStarted))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param(Argument(source="trigger", field="order"), "A-12", id="text of the trigger"),
        pytest.param(OF_RESERVE, "7", id="an integer of a former step's result"),
    ],
)
def test_a_wait_says_what_it_waits_for_and_until_when(key: Argument, expected: str) -> None:
    event = started(waiting(key=key))
    assert (event.awaits, event.correlation, event.message_type) == ("message", expected, "Arrival")
    assert event.due_at == text_of(BEGIN + 10 * SECOND)


@pytest.mark.parametrize(
    "trigger",
    [
        pytest.param({"order": None}, id="nothing"),
        pytest.param({"order": ""}, id="empty text"),
        pytest.param({"order": "x" * 256}, id="text that is too long"),
        pytest.param({"order": "A\n12"}, id="text of two lines"),
        pytest.param({"order": "A\0"}, id="text with a NUL"),
        pytest.param({"order": 10**255}, id="an integer that is too long"),
        pytest.param({"order": True}, id="a truth value"),
        pytest.param({"order": 1.5}, id="a fraction"),
        pytest.param({"order": ["A-12"]}, id="a list"),
        pytest.param({}, id="a field that is not there"),
    ],
)
def test_what_is_no_key_fails_the_step_before_anything_is_awaited(trigger: Any) -> None:
    run = Run.of(saga(wait("goods")), trigger=trigger)
    assert run.story == [
        "started",
        "goods failed (invalid_argument)",
        "drain (failed)",
        "compensate nothing",
        "compensated",
    ]


def test_a_message_of_its_key_and_type_meets_it_and_its_content_is_the_result() -> None:
    run = waiting()
    assert run.receives("goods", "A-12", {"pallets": 3}) == [
        "message m-A-12 for goods",
        "goods succeeded",
        "request look",
    ]
    assert run.payloads[run.effect("goods").result or ""] == b'{"pallets":3}'


def cancelled() -> Run:
    run = waiting()
    run.cancel()
    return run


def parked_in_its_drain() -> Run:
    """What is settled first parks it; the wait is over all the same."""
    run = Run.of(saga(action("a", ()), wait("goods", (), timeout_ms=60_000), deadline_ms=5_000), trigger=ORDER)
    run.now += 6 * SECOND
    assert run.tell(Recovered(clean=False))[1:] == [
        "a in doubt (lost)",
        "drain (deadline)",
        "goods failed (withdrawn)",
        "parked undo: a (in_doubt)",
    ]
    return run


def met() -> Run:
    run = waiting()
    run.receives("goods", "A-12")
    return run


def killed() -> Run:
    run = waiting()
    run.kill()
    assert run.effect("goods").phase == "waiting"
    return run


def over() -> Run:
    run = met()
    run.ok("look")
    assert run.status == "completed"
    return run


@pytest.mark.parametrize(
    ("run", "key", "kind"),
    [
        pytest.param(waiting, "A-13", "Arrival", id="of another key"),
        pytest.param(waiting, "A-12", "Return", id="of another type"),
        pytest.param(cancelled, "A-12", "Arrival", id="after the run turned back"),
        pytest.param(parked_in_its_drain, "A-12", "Arrival", id="after it turned back and was parked"),
        pytest.param(met, "A-12", "Arrival", id="after another one met the wait"),
        pytest.param(killed, "A-12", "Arrival", id="after it was killed"),
        pytest.param(over, "A-12", "Arrival", id="after the end"),
    ],
)
def test_a_message_that_nobody_waits_for_changes_nothing(run: Callable[[], Run], key: str, kind: str) -> None:
    assert run().receives("goods", key, kind=kind) == []


@pytest.mark.parametrize(
    ("on_timeout", "expected"),
    [
        pytest.param(
            "fail",
            ["goods failed (timeout)", "drain (failed)", "compensate reserve", "request undo of reserve"],
            id="fail",
        ),
        pytest.param("skip", ["goods skipped (timeout)", "request look"], id="skip"),
        pytest.param("park", ["goods failed (timeout)", "parked forward: goods (timeout)"], id="park"),
    ],
)
def test_what_a_timeout_leads_to_is_declared(on_timeout: str, expected: list[str]) -> None:
    run = waiting(on_timeout=on_timeout)
    assert run.passes(9_999) == []
    assert run.tick() == expected
    assert run.now == BEGIN + 10 * SECOND


def test_a_wait_that_is_over_is_given_up_by_its_timer_alone_which_knows_of_a_message_on_its_way() -> None:
    run = waiting(on_timeout="skip")
    run.now += 11 * SECOND
    assert run.tell(Recovered(clean=False)) == []
    assert run.tell(Tick(met=("goods",))) == []
    assert run.receives("goods", "A-12")[-1] == "request look"


def test_what_needs_the_result_of_a_wait_that_was_skipped_is_skipped_with_it() -> None:
    run = Run.of(saga(wait("goods", on_timeout="skip"), action("sell", takes=("goods",)), read("look")), trigger=ORDER)
    assert run.tick() == ["goods skipped (timeout)", "sell skipped (goods)", "request look"]


def test_behind_the_pivot_a_timeout_parks_the_run() -> None:
    run = Run.of(saga(pivot("pay"), wait("goods"), retriable("sell")), trigger=ORDER)
    run.ok("pay")
    assert run.tick() == ["goods failed (timeout)", "parked forward: goods (timeout)"]


def test_a_parked_wait_is_begun_anew_with_its_whole_time_or_counts_as_done_by_hand() -> None:
    run = waiting(on_timeout="park")
    run.tick()
    assert resolutions(run.plan, run.get()) == ("retry", "done_by_hand")
    run.now += 3_600 * SECOND
    assert run.resolve("goods", "retry") == ["resolved goods: retry", "new key for goods", "wait goods"]
    assert started(run).due_at == text_of(run.now + 10 * SECOND)
    assert run.receives("goods", "A-12")[-1] == "request look"


def test_a_wait_whose_result_nobody_needs_may_be_done_by_hand() -> None:
    run = waiting(on_timeout="park")
    run.tick()
    assert run.resolve("goods", "done_by_hand") == [
        "resolved goods: done_by_hand",
        "goods verified by person",
        "request look",
    ]


def test_time_that_the_run_is_parked_does_not_count_for_a_timeout_or_a_pause_but_an_instant_stands() -> None:
    steps = (wait("goods", ()), pause("cool", (), lasts_ms=20_000), until("ship", ()), action("a", (), attempts=1))
    run = Run.of(saga(*steps), trigger=ORDER)
    run.passes(1_000)
    run.unknown("a")
    assert run.status == "parked"
    run.now += 60 * SECOND
    run.resolve("a", "done_by_hand")
    dues = {path: run.effect(path).due_at for path in ("goods", "cool")}
    assert dues == {"goods": BEGIN + 70 * SECOND, "cool": BEGIN + 80 * SECOND}
    assert run.effect("ship").phase == "done"


def test_a_message_that_comes_while_the_run_is_parked_is_taken() -> None:
    run = Run.of(saga(wait("goods", ()), action("a", (), attempts=1)), trigger=ORDER)
    run.unknown("a")
    assert run.status == "parked"
    assert run.receives("goods", "A-12") == ["message m-A-12 for goods", "goods succeeded"]


def test_a_pause_lasts_and_then_the_next_step_begins() -> None:
    run = Run.of(saga(pause("cool"), read("look")), trigger=ORDER)
    assert run.story == ["started", "wait cool"]
    assert run.tick() == ["cool succeeded", "request look"]
    assert run.now == BEGIN + 10 * SECOND


@pytest.mark.parametrize(
    ("ship_at", "story"),
    [
        pytest.param(text_of(BEGIN + SECOND), ["wait ship"], id="later: the run waits"),
        pytest.param("2026-11-21T15:00:01+01:00", ["wait ship"], id="with another offset"),
        pytest.param(text_of(BEGIN), ["wait ship", "ship succeeded", "completed"], id="now: at once"),
        pytest.param("2020-01-01T00:00:00Z", ["wait ship", "ship succeeded", "completed"], id="long ago: at once"),
        *(
            pytest.param(
                value,
                ["ship failed (invalid_argument)", "drain (failed)", "compensate nothing", "compensated"],
                id=name,
            )
            for value, name in (
                ("tomorrow", "no time at all"),
                ("2026-11-21T15:00:00", "without an offset"),
                (None, "nothing"),
                (1_700_000_000, "a number"),
            )
        ),
    ],
)
def test_an_instant_is_waited_for_unless_it_is_past_or_none(ship_at: Any, story: list[str]) -> None:
    run = Run.of(saga(until("ship")), trigger={"ship_at": ship_at})
    assert run.story == ["started", *story]
    if story == ["wait ship"]:
        assert run.tick() == ["ship succeeded", "completed"]
        assert run.now == BEGIN + SECOND


def test_a_run_that_turns_back_waits_no_longer() -> None:
    assert waiting().cancel() == [
        "drain (cancelled)", "goods failed (withdrawn)", "compensate reserve", "request undo of reserve",
    ]  # fmt: skip


def test_a_wait_that_was_withdrawn_begins_again_where_the_pivot_did_pass() -> None:
    run = Run.of(saga(action("a"), wait("goods", ("a",)), pivot("pay", ("a",))), trigger=ORDER)
    run.ok("a")
    run.cancel()
    assert run.ok("pay") == ["pay succeeded", "resumed (pivot_passed)", "wait goods"]


def test_the_deadline_comes_before_a_later_timeout() -> None:
    run = Run.of(saga(wait("goods", timeout_ms=60_000), deadline_ms=5_000), trigger=ORDER)
    assert run.tick() == ["drain (deadline)", "goods failed (withdrawn)", "compensate nothing", "compensated"]
    assert run.now == BEGIN + 5 * SECOND


def test_a_killed_run_waits_for_nothing() -> None:
    run = waiting()
    run.kill()
    assert next_due(run.plan, run.get()) is None
    assert open_waits(run.get()) == {}


def test_a_stop_of_the_owner_cuts_no_wait_off() -> None:
    run = waiting()
    assert run.recovers() == []
    assert run.receives("goods", "A-12")[-1] == "request look"


def test_a_person_who_sends_the_run_forward_has_it_wait_anew() -> None:
    run = Run.of(saga(action("a", undo_verify=False), wait("goods")), trigger=ORDER)
    run.ok("a")
    run.cancel()
    run.refused("undo of a")
    decided = run.resolve("a", "go_forward")
    assert decided[-1] == "wait goods"
    assert run.receives("goods", "A-12")[-1] == "completed"


def test_a_wait_whose_condition_is_false_is_skipped() -> None:
    never = Compare(left=Reference(step=None, field="order"), how="==", right=Value(value="other"))
    assert Run.of(saga(wait("goods", when=never)), trigger=ORDER).story == [
        "started",
        "goods skipped (condition)",
        "completed",
    ]


def test_no_handler_runs_for_a_wait() -> None:
    run = waiting()
    assert commands(run.plan, run.get(), run.now) == ()


@pytest.mark.parametrize(
    ("run", "text"),
    [
        pytest.param(waiting, f"goods: message Arrival for A-12 until {text_of(BEGIN + 10 * SECOND)}", id="a message"),
        pytest.param(
            lambda: Run.of(saga(until("ship", ()), wait("goods", ())), trigger=ORDER),
            f"goods: message Arrival for A-12 until {text_of(BEGIN + 10 * SECOND)}; ship: {ORDER['ship_at']}",
            id="two at once, the earlier end first",
        ),
        pytest.param(
            lambda: Run.of(saga(wait("goods", ()), action("a", ())), trigger=ORDER), None, id="another step is at work"
        ),
        pytest.param(met, None, id="nothing any more"),
        pytest.param(cancelled, None, id="a run that is being undone"),
    ],
)
def test_a_run_says_what_it_waits_for_if_nothing_else_goes_on(run: Callable[[], Run], text: str | None) -> None:
    one = run()
    assert waited_for(one.plan, one.get()) == text


def test_a_wait_that_would_use_what_is_kept_for_undoing_is_not_begun() -> None:
    run = Run.of(saga(read("look"), wait("goods"), entries=2), trigger=ORDER)
    assert run.ok("look")[-1] == "compensated"
    assert open_waits(run.get()) == {}
