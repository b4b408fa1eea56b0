"""Which scenarios follow from a course that was seen."""

from typing import Any

import pytest

from amends.compensations.faults import Fault
from amends.compensations.scenarios import (
    TOMBSTONED_MS,
    Call,
    Course,
    StepFacts,
    base_path,
    forward_scenarios,
    turn_of,
    turned_scenarios,
)

READ = StepFacts(path="look", kind="read", handler="look")
TAKE = StepFacts(
    path="take", kind="action", handler="take", verify="take.verify", undo="take.undo", undo_verify="take.undo.verify"
)
WAIT = StepFacts(path="paid", kind="wait", handler="paid", waits=True)
SHIP = StepFacts(path="ship", kind="action", handler="ship", past_pivot=True, class_c=True)
LATE = StepFacts(path="late", kind="action", handler="late", undo="late.undo", late_ms=29_999)
ASK = StepFacts(
    path="ask",
    kind="action",
    handler="ask",
    undo="ask.undo",
    waits=True,
    deduplicates=True,
    undo_deduplicates=True,
    late_ms=TOMBSTONED_MS,
)
STEPS = {step.path: step for step in (READ, TAKE, WAIT, SHIP, LATE)}


def call(path: str, role: Any = "step", **more: Any) -> Call:
    given: dict[str, Any] = {"direction": "forward", "nth": 1, "made": True, **more}
    return Call(handler=path if role == "step" else f"{path}.{role}", path=path, role=role, **given)


def kinds(scenarios: Any) -> list[str]:
    return [each.faults[-1].kind for each in scenarios]


ACTING = {
    "refused", "unavailable", "lost_before", "lost_after", "lost_before_always", "lost_after_always",
    "raises_before", "raises_after", "died_before", "died_after",
}  # fmt: skip


ON_THE_BUS = {
    "command_lost", "command_late", "command_repeated", "reply_lost", "reply_late", "reply_repeated",
    "answered_refused", "answered_unavailable",
}  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(call("look"), {"refused", "unavailable_once", "died_before"}, id="a read is never in doubt"),
        pytest.param(call("take"), ACTING | {"claimed"}, id="an action that is read back may lie"),
        pytest.param(call("ship"), ACTING, id="one that nobody reads back is believed"),
        pytest.param(call("late"), ACTING | {"lands_late"}, id="a request may come as late as is declared"),
        pytest.param(call("take", "verify"), {"denied", "unread", "died_before"}, id="a read-back denies or fails"),
        pytest.param(call("take", "lookup"), set(), id="a lookup is asked where something else failed"),
        pytest.param(
            call("ship", commands=1),
            ACTING | (ON_THE_BUS - {"command_late", "command_repeated", "reply_late"}),
            id="a participant that promises nothing is tried no further",
        ),
        pytest.param(
            call("take", requests=3),
            ACTING | {"claimed", "died_between", "raises_between"},
            id="between two requests everything may end",
        ),
    ],
)
def test_a_call_is_broken_in_each_way_that_it_can_be(seen: Call, expected: set[str]) -> None:
    steps = {path: step for path, step in STEPS.items() if path != "paid"}
    assert set(kinds(forward_scenarios(Course(calls=(seen,), entries=0), steps, 1))) == expected


def test_a_handler_of_three_requests_is_broken_after_the_first_and_the_second() -> None:
    course = Course(calls=(call("take", requests=3),), entries=0)
    between = [each.faults[-1] for each in forward_scenarios(course, STEPS, 1) if each.faults[-1].request]
    assert [(fault.kind, fault.request) for fault in between] == [
        ("died_between", 1),
        ("raises_between", 1),
        ("died_between", 2),
        ("raises_between", 2),
    ]


def test_the_coordinator_dies_before_and_after_every_entry() -> None:
    found = [each.faults[-1] for each in forward_scenarios(Course(calls=(), entries=2), {}, 1)]
    assert [(fault.kind, fault.version) for fault in found] == [
        ("died_unappended", 1),
        ("died_appended", 1),
        ("died_unappended", 2),
        ("died_appended", 2),
    ]


def test_a_message_that_is_waited_for_does_not_come() -> None:
    assert kinds(forward_scenarios(Course(calls=(), entries=0), {"paid": WAIT}, 1)) == ["unanswered"]


def test_a_participant_that_answers_is_waited_for_as_the_bus_has_it() -> None:
    course = Course(calls=(call("ask", commands=1),), entries=0)
    found = list(forward_scenarios(course, {"ask": ASK}, 1))
    assert set(kinds(found)) == ACTING | ON_THE_BUS | {"lands_late"}
    overtaken = [each.faults for each in found if len(each.faults) > 1]
    assert [[fault.kind for fault in faults] for faults in overtaken] == [["turned_back", "command_late"]]
    back = Course(calls=(call("ask", "undo", direction="undo", commands=1),), entries=0)
    assert set(kinds(turned_scenarios(back, {"ask": ASK}, 1, ()))) >= ON_THE_BUS


def test_a_run_is_turned_back_at_each_step_that_has_an_undo_and_comes_before_the_pivot() -> None:
    calls = (call("look"), call("take"), call("take", nth=2), call("take[1]"), call("ship"))
    assert [(fault.kind, fault.path) for fault in turn_of(calls, STEPS)] == [
        ("turned_back", "take"),
        ("turned_back", "take[1]"),
    ]


def test_a_course_that_turned_back_is_broken_on_its_way_back_and_with_its_steps_in_another_order() -> None:
    turn = (Fault(kind="turned_back", handler="ship", path="ship"),)
    course = Course(calls=(call("take"), call("take", "undo", direction="undo")), entries=0)
    found = list(turned_scenarios(course, STEPS, 1, turn))
    assert all(each.faults[:-1] == turn for each in found)
    again, *back = (each.faults[-1] for each in found)
    assert (again.kind, again.handler) == ("unavailable_once", "take")
    assert {fault.kind for fault in back} == ACTING | {"claimed"}
    assert {fault.direction for fault in back} == {"undo"}


@pytest.mark.parametrize(
    ("path", "step"),
    [("take", "take"), ("take[3]", "take"), ("ship[2]/book", "ship/book"), ("a[1]/b[22]/c", "a/b/c")],
)
def test_items_and_rounds_are_those_of_a_step(path: str, step: str) -> None:
    assert base_path(path) == step
