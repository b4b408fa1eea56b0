"""Going forward: what is requested when, what is skipped, and how a run completes."""

import pytest

from amends.coordinator.definition.expression import Compare, Expression, Reference, Value
from amends.schemas import events as e
from tests.simulation.definitions import action, read, result, saga
from tests.simulation.run import Run


def only_if(step: str | None, field: str, value: str) -> Expression:
    return Compare(left=Reference(step=step, field=field), how="==", right=Value(value=value))


def completed_with(run: Run) -> str | None:
    """The result of the completed run, as the JSON text that stands in the log."""
    event = run.events[-1]
    assert isinstance(event, e.SagaCompleted)
    return run.payloads[event.result].decode() if event.result is not None else None


def test_steps_follow_each_other_each_in_the_entry_of_the_one_before() -> None:
    run = Run.of(saga(action("reserve"), action("charge"), action("ship")))
    assert run.story == ["started", "request reserve"]
    assert run.ok("reserve") == ["reserve succeeded", "request charge"]
    assert run.ok("charge") == ["charge succeeded", "request ship"]
    assert run.ok("ship") == ["ship succeeded", "completed"]
    assert run.status == "completed"


def test_independent_steps_run_at_once_and_a_join_waits_for_all_of_them() -> None:
    run = Run.of(saga(read("assess"), action("a", ("assess",)), action("b", ("assess",)), action("join", ("a", "b"))))
    assert run.ok("assess") == ["assess succeeded", "request a", "request b"]
    assert run.ok("b") == ["b succeeded"]
    assert run.ok("a") == ["a succeeded", "request join"]


def test_steps_without_predecessors_start_with_the_run() -> None:
    assert Run.of(saga(action("a", ()), action("b", ()))).story == ["started", "request a", "request b"]


def test_a_result_step_comes_last_and_gives_the_result() -> None:
    run = Run.of(saga(action("a"), result()))
    run.ok("a", {"n": 1})
    assert run.ok("outcome", {"total": 7}) == ["outcome succeeded", "completed"]
    assert completed_with(run) == '{"total":7}'


def test_without_a_result_step_the_only_last_step_gives_the_result() -> None:
    run = Run.of(saga(action("a"), action("b")))
    run.ok("a", "not this")
    run.ok("b", "this")
    assert completed_with(run) == '"this"'


def test_of_several_last_steps_none_gives_the_result() -> None:
    run = Run.of(saga(action("a", ()), action("b", ())))
    run.ok("a")
    run.ok("b")
    assert completed_with(run) is None


@pytest.mark.parametrize(
    ("trigger", "decided"),
    [
        pytest.param({"kind": "paper"}, ["started", "request print"], id="the condition holds"),
        pytest.param(
            {"kind": "card"}, ["started", "print skipped (condition)", "request mail"], id="the condition does not hold"
        ),
        pytest.param({}, ["started", "print skipped (condition)", "request mail"], id="the field is not there"),
    ],
)
def test_a_condition_over_the_trigger(trigger: dict[str, str], decided: list[str]) -> None:
    run = Run.of(saga(action("print", when=only_if(None, "kind", "paper")), action("mail")), trigger=trigger)
    assert run.story == decided


def test_a_condition_over_a_result_is_decided_when_the_result_is_there() -> None:
    form = saga(read("assess"), action("refund", when=only_if("assess", "verdict", "refund")), action("mail"))
    refunded, kept = Run.of(form), Run.of(form)
    assert refunded.ok("assess", {"verdict": "refund"}) == ["assess succeeded", "request refund"]
    assert kept.ok("assess", {"verdict": "keep"}) == ["assess succeeded", "refund skipped (condition)", "request mail"]


def test_a_skipped_step_takes_with_it_who_needs_its_result_and_nobody_else() -> None:
    run = Run.of(
        saga(
            action("quote", (), when=only_if(None, "kind", "paper")),
            action("order", (), takes=("quote",)),
            action("pay", ("order",), takes=("order",)),
            action("mail", ("quote",)),
        )
    )
    assert run.story == [
        "started",
        "quote skipped (condition)",
        "order skipped (quote)",
        "pay skipped (order)",
        "request mail",
    ]
    assert run.ok("mail") == ["mail succeeded", "completed"]


def test_a_run_whose_every_step_is_skipped_completes_at_once() -> None:
    run = Run.of(saga(action("print", when=only_if(None, "kind", "paper"))))
    assert run.story == ["started", "print skipped (condition)", "completed"]
    assert completed_with(run) is None


def test_a_step_whose_handler_is_missing_waits_and_holds_up_nobody_else() -> None:
    run = Run.of(saga(action("a", ()), action("b", ()), action("c", ("a", "b"))), missing=frozenset({"a"}))
    assert run.story == ["started", "request b"]
    assert run.ok("b") == ["b succeeded"]
    assert run.passes(60_000) == []
    assert run.status == "running"


def test_a_step_is_requested_as_soon_as_its_handler_is_there() -> None:
    form = saga(action("a"))
    without, run = Run.of(form, missing=frozenset({"a"})), Run.of(form)
    run.state, run.entries = without.state, without.entries
    assert run.passes(1) == ["request a"]


def test_the_same_arguments_give_the_same_decision() -> None:
    form = saga(action("a"), action("b", key=True), action("c"))

    def played() -> list[str]:
        run = Run.of(form)
        run.ok("a")
        run.unknown("b")
        run.tick()
        run.ok("b")
        run.refused("c")
        return [entry.hash for entry in run.entries]

    assert played() == played()
