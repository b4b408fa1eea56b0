"""Steps that repeat others: for every item of a list, and in rounds."""

from typing import Any

import pytest
from msgspec.structs import replace

from amends.coordinator.core.commands import next_due
from amends.coordinator.core.repeating import KEYS_BYTES_MAX, STEPS_MAX
from amends.coordinator.core.sources import source_of
from amends.coordinator.core.turn import BEGUN_MAX
from amends.coordinator.definition.expression import Compare, Expression, Reference, Value
from amends.coordinator.definition.form import Argument, StepForm
from amends.schemas import events as e
from amends.schemas.ids import effect_key_of
from amends.schemas.instants import SECOND, text_of
from tests.simulation.definitions import action, for_each, loop, pivot, read, result, saga, until, wait
from tests.simulation.run import BEGIN, Run

LINES = Argument(source="trigger", field="lines")
ORDER = {"lines": [{"sku": "a"}, {"sku": "b"}, {"sku": "c"}]}


def over_lines(*steps: StepForm, **options: Any) -> StepForm:
    return for_each("notify", *steps or (action("notify", ()),), items=LINES, key="sku", **options)


def test_each_item_is_a_step_of_its_own() -> None:
    run = Run.of(saga(action("charge"), over_lines(), action("mail")), trigger=ORDER)
    assert run.ok("charge") == [
        "charge succeeded", "plan notify for a, b, c", "request notify[0]", "request notify[1]", "request notify[2]",
    ]  # fmt: skip
    assert run.ok("notify[1]") == ["notify[1] succeeded"]
    assert run.ok("notify[0]") == ["notify[0] succeeded"]
    assert run.ok("notify[2]") == ["notify[2] succeeded", "notify ended", "request mail"]
    assert run.ok("mail") == ["mail succeeded", "completed"]
    keys = {event.idempotency_key for event in run.events if isinstance(event, e.StepRequested)}
    assert effect_key_of(saga_id=run.get().saga_id, path="notify[1]", direction="forward", generation=0) in keys
    assert len(keys) == 5


def test_no_more_items_are_at_work_than_may_be() -> None:
    run = Run.of(saga(over_lines(concurrency=2)), trigger=ORDER)
    assert run.story[-2:] == ["request notify[0]", "request notify[1]"]
    assert run.ok("notify[1]") == ["notify[1] succeeded", "request notify[2]"]
    assert run.ok("notify[0]") == ["notify[0] succeeded"]
    assert run.ok("notify[2]") == ["notify[2] succeeded", "notify ended", "completed"]


def test_the_steps_of_an_item_follow_each_other_and_its_room_is_free_after_the_last() -> None:
    steps = (action("notify/book", ()), action("notify/send"))
    run = Run.of(saga(over_lines(*steps, concurrency=1)), trigger={"lines": [{"sku": "a"}, {"sku": "b"}]})
    assert run.story[-1] == "request notify[0]/book"
    assert run.ok("notify[0]/book") == ["notify[0]/book succeeded", "request notify[0]/send"]
    assert run.ok("notify[0]/send") == ["notify[0]/send succeeded", "request notify[1]/book"]


def test_a_failed_item_turns_the_run_back_and_the_others_are_undone_in_the_order_of_all_requests() -> None:
    run = Run.of(saga(action("charge"), over_lines()), trigger=ORDER)
    run.ok("charge")
    run.ok("notify[2]")
    run.ok("notify[0]")
    assert run.refused("notify[1]") == [
        "notify[1] failed (refused)", "drain (failed)", "compensate notify[2], notify[0], charge",
        "request undo of notify[2]",
    ]  # fmt: skip
    for path in ("notify[2]", "notify[0]", "charge"):
        run.ok(f"undo of {path}")
        run.finds(f"undo of {path}")
    assert run.status == "compensated"


def test_a_run_that_collects_goes_on_without_the_items_that_failed_for_certain() -> None:
    run = Run.of(saga(over_lines(policy="collect"), action("mail", takes=("notify",))), trigger=ORDER)
    run.ok("notify[0]")
    assert run.refused("notify[1]") == ["notify[1] failed (refused)", "notify[1] skipped (failed)"]
    assert run.ok("notify[2]") == ["notify[2] succeeded", "notify ended without 1", "request mail"]
    assert run.refused("mail")[-2:] == ["compensate notify[2], notify[0]", "request undo of notify[2]"]


def test_an_item_that_may_have_had_an_effect_is_never_left_out() -> None:
    run = Run.of(saga(over_lines(policy="collect")), trigger={"lines": [{"sku": "a"}]})
    assert run.raises("notify[0]") == [
        "notify[0] settled: ended by exception", "drain (failed)", "compensate notify[0]", "request undo of notify[0]",
    ]  # fmt: skip


def test_an_item_that_had_an_effect_before_it_failed_is_not_left_out() -> None:
    steps = (read("notify/look", ()), action("notify/book"), read("notify/check"))
    run = Run.of(saga(over_lines(*steps, policy="collect")), trigger={"lines": [{"sku": "a"}, {"sku": "b"}]})
    assert run.refused("notify[0]/look") == [
        "notify[0]/look failed (refused)", "notify[0]/look skipped (failed)",
        "notify[0]/book skipped (notify[0]/look)", "notify[0]/check skipped (notify[0]/look)",
    ]  # fmt: skip
    run.ok("notify[1]/look")
    run.ok("notify[1]/book")
    assert run.refused("notify[1]/check") == [
        "notify[1]/check failed (refused)", "drain (failed)", "compensate notify[1]/book",
        "request undo of notify[1]/book",
    ]  # fmt: skip


def test_nor_is_one_that_may_just_now_have_an_effect() -> None:
    steps = (read("notify/look", ()), action("notify/book", ()))
    run = Run.of(saga(over_lines(*steps, policy="collect")), trigger={"lines": [{"sku": "a"}]})
    assert run.refused("notify[0]/look") == ["notify[0]/look failed (refused)", "drain (failed)"]


def test_what_an_item_that_is_left_out_waits_for_is_waited_for_no_longer_and_it_has_no_result() -> None:
    steps = (read("notify/look", ()), wait("notify/goods", ("notify/look",)), read("notify/check", ("notify/look",)))
    listed = over_lines(*steps, policy="collect")
    assert listed.each is not None
    listed = replace(listed, each=replace(listed.each, returns="notify/look"))
    run = Run.of(saga(listed, read("count", takes=("notify",))), trigger={"lines": [{"sku": "a"}], "order": "A-12"})
    run.ok("notify[0]/look")
    assert run.refused("notify[0]/check") == [
        "notify[0]/check failed (refused)", "notify[0]/check skipped (failed)",
        "notify[0]/goods skipped (notify[0]/check)", "notify ended without 0", "request count",
    ]  # fmt: skip
    assert source_of(run.plan.of(run.get()), run.get(), "notify") == (None,)


def test_a_loop_of_an_item_that_is_left_out_begins_no_other_round() -> None:
    polled = loop("notify/poll", read("notify/poll", ()), until=ready("notify/poll"), rounds_max=9, after=())
    listed = over_lines(polled, read("notify/look", ()), policy="collect")
    run = Run.of(saga(listed), trigger={"lines": [{"sku": "a"}]})
    run.refused("notify[0]/look")
    assert run.ok("notify[0]/poll[0]", {}) == [
        "notify[0]/poll[0] succeeded", "notify[0]/poll skipped (notify[0]/look)", "notify ended without 0", "completed",
    ]  # fmt: skip


def test_nor_is_one_whose_rounds_had_effects() -> None:
    rounds = loop("notify/try", action("notify/try", ()), until=ready("notify/try"), rounds_max=2, after=())
    run = Run.of(saga(over_lines(rounds, policy="collect")), trigger={"lines": [{"sku": "a"}]})
    run.ok("notify[0]/try[0]", {})
    assert run.ok("notify[0]/try[1]", {})[-2:] == [
        "compensate notify[0]/try[1], notify[0]/try[0]", "request undo of notify[0]/try[1]",
    ]  # fmt: skip


def test_no_items_are_no_work() -> None:
    run = Run.of(saga(over_lines(), action("mail")), trigger={"lines": []})
    assert run.story == ["started", "plan notify for nothing", "notify ended", "request mail"]


@pytest.mark.parametrize(
    ("lines", "kind", "message"),
    [
        (None, "invalid_items", "there is no list of items"),
        ({"sku": "a"}, "invalid_items", "the items are no list"),
        ([{"sku": "a"}, {"sku": "a"}], "invalid_items", "items 0 and 1 have the same key 'a'"),
        ([{"sku": 1}, {"sku": "1"}], "invalid_items", "items 0 and 1 have the same key '1'"),
        ([{}], "invalid_items", "'sku' of item 0 names nothing: it is neither text nor an integer"),
        ([{"sku": ""}], "invalid_items", "'sku' of item 0 names nothing: it is empty"),
        ([{"sku": True}], "invalid_items", "'sku' of item 0 names nothing: it is neither text nor an integer"),
        ([{"sku": 1.5}], "invalid_items", "'sku' of item 0 names nothing: it is neither text nor an integer"),
        ([{"sku": "a"}, 7], "invalid_items", "'sku' of item 1 names nothing: it is neither text nor an integer"),
        ([{"sku": "x" * 256}], "invalid_items", "the key of item 0 has 256 characters, 255 are allowed"),
        ([{"sku": str(number)} for number in range(101)], "limit", "101 items, items_max allows 100"),
    ],
)
def test_items_that_cannot_be_told_apart_turn_the_run_back(lines: object, kind: str, message: str) -> None:
    run = Run.of(saga(action("charge"), over_lines()), trigger={"lines": lines})
    run.ok("charge")
    assert run.get().cause == "failed"
    failure = run.get().failure
    assert failure is not None
    assert (failure.step, failure.attempt, failure.kind, failure.message) == ("notify", 1, kind, message)
    assert run.story[-2:] == ["compensate charge", "request undo of charge"]


def test_items_may_come_from_a_step_and_be_plain_values() -> None:
    items = Argument(source="result", step="look")
    each = for_each("notify", action("notify", ()), items=items)
    run = Run.of(saga(read("look"), each))
    assert run.ok("look", ["x", "y"]) == [
        "look succeeded", "plan notify for x, y", "request notify[0]", "request notify[1]",
    ]  # fmt: skip


def test_what_is_repeated_may_repeat() -> None:
    inner = for_each(
        "ship/pack", action("ship/pack", ()), items=Argument(source="result", step="ship[]", field="boxes"), after=()
    )
    outer = for_each("ship", inner, action("ship/send"), items=LINES, key="sku")
    run = Run.of(saga(outer), trigger={"lines": [{"sku": "a", "boxes": [1, 2]}, {"sku": "b", "boxes": [3]}]})
    assert run.story[1:] == [
        "plan ship for a, b",
        "plan ship[0]/pack for 1, 2",
        "request ship[0]/pack[0]",
        "request ship[0]/pack[1]",
        "plan ship[1]/pack for 3",
        "request ship[1]/pack[0]",
    ]
    run.ok("ship[0]/pack[0]")
    assert run.ok("ship[1]/pack[0]") == ["ship[1]/pack[0] succeeded", "ship[1]/pack ended", "request ship[1]/send"]
    assert run.ok("ship[0]/pack[1]") == ["ship[0]/pack[1] succeeded", "ship[0]/pack ended", "request ship[0]/send"]
    run.ok("ship[1]/send")
    assert run.ok("ship[0]/send") == ["ship[0]/send succeeded", "ship ended", "completed"]


def test_no_more_items_are_at_work_than_may_be_where_each_begins_by_repeating_others() -> None:
    boxes = Argument(source="result", step="ship[]", field="boxes")
    inner = for_each("ship/pack", action("ship/pack", ()), items=boxes, after=())
    outer = for_each("ship", inner, items=LINES, key="sku", concurrency=1)
    run = Run.of(saga(outer), trigger={"lines": [{"sku": "a", "boxes": [1]}, {"sku": "b", "boxes": [2]}]})
    assert run.story[1:] == ["plan ship for a, b", "plan ship[0]/pack for 1", "request ship[0]/pack[0]"]
    assert run.ok("ship[0]/pack[0]") == [
        "ship[0]/pack[0] succeeded", "ship[0]/pack ended", "plan ship[1]/pack for 2", "request ship[1]/pack[0]",
    ]  # fmt: skip


def ready(step: str) -> Expression:
    return Compare(left=Reference(step=step, field="ready"), how="==", right=Value(value=True))


def polling(**options: Any) -> StepForm:
    return loop("poll", read("poll", ()), until=ready("poll"), **options)


def test_a_loop_goes_on_until_its_condition_holds_over_a_round() -> None:
    run = Run.of(saga(polling(), action("mail")))
    assert run.story == ["started", "round 0 of poll", "request poll[0]"]
    assert run.ok("poll[0]", {"ready": False}) == ["poll[0] succeeded", "round 1 of poll", "request poll[1]"]
    assert run.ok("poll[1]", {"ready": True}) == ["poll[1] succeeded", "poll ended after 2", "request mail"]


def test_between_two_rounds_time_passes() -> None:
    run = Run.of(saga(polling(every_ms=10_000)))
    assert run.ok("poll[0]", {"ready": False}) == ["poll[0] succeeded", "round 1 of poll"]
    assert next_due(run.plan, run.get()) == run.now + 10 * SECOND
    assert run.tick() == ["request poll[1]"]
    assert next_due(run.plan, run.get()) == run.get().deadline_at


def test_a_loop_that_does_not_end_fails_after_its_last_round() -> None:
    run = Run.of(saga(action("charge"), polling(rounds_max=2)))
    run.ok("charge")
    run.ok("poll[0]", {})
    assert run.ok("poll[1]", {}) == [
        "poll[1] succeeded", "limit: rounds", "poll failed (limit)", "drain (failed)", "compensate charge",
        "request undo of charge",
    ]  # fmt: skip


def test_or_goes_on_with_what_the_last_round_gave() -> None:
    run = Run.of(saga(polling(rounds_max=1, on_max="go_on"), result()))
    assert run.ok("poll[0]", {"ready": 3}) == ["poll[0] succeeded", "poll ended after 1, not met", "request outcome"]


def test_every_round_of_a_loop_is_undone() -> None:
    run = Run.of(saga(loop("draft", action("draft", ()), until=ready("draft")), action("mail")))
    run.ok("draft[0]", {})
    run.ok("draft[1]", {"ready": True})
    assert run.refused("mail")[-2:] == ["compensate draft[1], draft[0]", "request undo of draft[1]"]


def test_a_pivot_waits_until_all_items_are_over() -> None:
    run = Run.of(saga(over_lines(), pivot("ship")), trigger={"lines": [{"sku": "a"}]})
    assert run.ok("notify[0]")[-1] == "request ship"


def test_a_person_sends_a_run_forward_and_items_that_were_undone_are_done_anew() -> None:
    run = Run.of(saga(over_lines(), action("mail")), trigger={"lines": [{"sku": "a"}, {"sku": "b"}]})
    run.ok("notify[0]")
    run.ok("notify[1]")
    run.refused("mail")
    run.ok("undo of notify[1]")
    run.finds("undo of notify[1]")
    run.refused("undo of notify[0]")
    assert run.status == "parked"
    told = run.resolve("notify[0]", "go_forward")
    assert "new key for notify[1]" in told
    assert told[-1] == "request notify[1]"
    assert run.ok("notify[1]")[-2:] == ["notify ended", "request mail"]


def test_a_plan_that_is_unfolded_again_is_the_same() -> None:
    run = Run.of(saga(over_lines()), trigger=ORDER)
    unfolded = run.plan.of(run.get())
    assert unfolded.of(run.get()) is unfolded
    assert [step.path for step in unfolded.form.steps] == ["notify", "notify[0]", "notify[1]", "notify[2]"]


def test_one_decision_begins_no_more_than_its_entry_holds_and_the_next_goes_on() -> None:
    lines = [{"sku": f"s{n}"} for n in range(BEGUN_MAX + 50)]
    run = Run.of(saga(over_lines(concurrency=1000, items_max=1000)), trigger={"lines": lines})
    assert sum(isinstance(event, e.StepRequested) for event in run.events) == BEGUN_MAX - 1  # and the plan
    assert len(run.ok("notify[0]")) == 1 + 51


def boxes_of(count: int) -> StepForm:
    packing = for_each(
        "ship/pack", action("ship/pack", ()), items=Argument(source="result", step="ship[]", field="boxes")
    )
    return for_each("ship", packing, items=LINES, key="sku", concurrency=1, items_max=count)


NEVER = Compare(left=Reference(step=None, field="ship_at"), how="==", right=Value(value=""))


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([until(f"w{number}") for number in range(100)], id="waits for an instant that has been"),
        pytest.param([over_lines(until("notify", ()), concurrency=1)], id="such waits of a list, one after the other"),
        pytest.param(
            [loop("poll", read("poll", (), when=NEVER), until=NEVER, rounds_max=100, on_max="go_on")],
            id="rounds in which everything is skipped",
        ),
        pytest.param([boxes_of(100)], id="lists of lists that are empty"),
    ],
)
def test_a_decision_comes_to_rest_however_much_is_over_as_soon_as_it_is_begun(steps: list[StepForm]) -> None:
    lines = [{"sku": f"s{n}", "boxes": []} for n in range(100)]
    run = Run.of(saga(*steps), trigger={"lines": lines, "ship_at": text_of(BEGIN)})
    assert run.status == "completed"


def test_a_list_with_keys_that_no_event_holds_fails_the_step() -> None:
    lines = [{"sku": f"{n:0255}"} for n in range(KEYS_BYTES_MAX // 255 + 1)]
    run = Run.of(saga(over_lines(items_max=1000)), trigger={"lines": lines})
    assert failed_as(run) == ("compensated", "invalid_items")


def test_a_run_that_would_have_too_many_steps_fails_the_one_that_repeats() -> None:
    lines = [{"sku": str(n)} for n in range(STEPS_MAX // 2)]
    steps = (action("notify/book", ()), action("notify/send"))
    run = Run.of(saga(over_lines(*steps, items_max=2000)), trigger={"lines": lines})
    assert failed_as(run) == ("compensated", "limit")
    assert e.LimitReached(limit="steps", used=STEPS_MAX + 1, allowed=STEPS_MAX) in run.events


def failed_as(run: Run) -> tuple[str, str]:
    failure = run.get().failure
    assert failure is not None
    return run.status, failure.kind
