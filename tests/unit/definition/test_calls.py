"""Calls: another saga's graph becomes steps of the caller, in one run, with one undo order."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.evolve import fold
from amends.coordinator.core.state import State
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.form import Argument, graph_hash
from amends.coordinator.definition.loading import load_app
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.entry import decode
from amends.testing import fails


class Order(BaseModel):
    request_id: str
    order_id: str
    urgent: bool = False


class Parcel(BaseModel):
    order: str
    kg: int


class Label(BaseModel):
    number: str


def shipping() -> Saga[Parcel]:
    """Only called: book, hand over, and the label as its result."""
    saga = Saga("shipping", trigger=Parcel)

    @saga.action(idempotent=True)
    def book(ctx: Context, trigger: Parcel) -> Label:
        return Label(number=f"{trigger.order}:{ctx.step}")

    @book.undo(verify="reply")
    def unbook(ctx: Context, trigger: Parcel, booked: Label | None = book.maybe) -> None:
        assert trigger.kg == 3
        assert booked == Label(number=f"{trigger.order}:{ctx.step}")

    @saga.action(idempotent=True, when=saga.trigger.kg > 1)
    def hand_over(label: Label = book.result) -> None: ...

    @hand_over.undo(verify="reply")
    def fetch_back() -> None: ...

    @saga.result
    def label(booked: Label = book.result) -> str:
        return booked.number

    return saga


def shop(called: Saga[Parcel] | None = None, *, refuses: bool = False) -> Saga[Order]:
    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id", business_key="order_id"))

    @saga.read
    def pack(trigger: Order) -> Parcel:
        return Parcel(order=trigger.order_id, kg=3)

    @saga.action(idempotent=True, after=pack)
    def charge(ctx: Context) -> str:
        return ctx.idempotency_key

    @charge.undo(verify="reply")
    def refund() -> None: ...

    ship = saga.call("ship", called or shipping(), trigger=pack.result, after=charge, when=negate_urgent(saga))

    @saga.action(idempotent=True)
    def mail(number: str | None = ship.maybe) -> str:
        if refuses:
            raise StepRefused("no such address")
        return f"your parcel is {number}"

    @mail.undo(verify="reply")
    def apologize() -> None: ...

    @saga.result
    def told(text: str = mail.result) -> str:
        return text

    return saga


def negate_urgent(saga: Saga[Order]) -> bool:
    return saga.trigger.urgent != True  # noqa: E712  a condition


def _store() -> MemoryStore:
    store = MemoryStore()
    store.migrate(shards=1)
    return store


def played(saga: Saga[Order], order: Order, **replies: object) -> tuple[World, State]:
    world = World(_store(), saga, clock=Clock(), replies=replies)  # type: ignore[arg-type]
    world.publish(order)
    world.run()
    (row,) = world.store.runs()
    return world, fold(decode(entry.data) for entry in world.store.entries_of(row.saga_id))


def test_a_called_graph_stands_under_the_name_of_its_call() -> None:
    form = shop().close().form
    assert {step.path: (step.kind, step.after) for step in form.steps} == {
        "pack": ("read", ()),
        "charge": ("action", ("pack",)),
        "ship/book": ("action", ("charge", "pack")),
        "ship/hand_over": ("action", ("ship/book",)),
        "ship/label": ("read", ("ship/book", "ship/hand_over")),
        "mail": ("action", ("ship/label",)),
        "told": ("result", ("mail",)),
    }
    undo = form.step("ship/book").undo
    assert undo is not None
    assert undo.handler.name == "ship/book.undo"
    assert undo.handler.arguments == {
        "ctx": Argument(source="context"),
        "trigger": Argument(source="result", step="pack"),
        "booked": Argument(source="maybe", step="ship/book"),
    }


def test_a_call_runs_with_the_caller_s_value_for_its_trigger_and_gives_its_result() -> None:
    _, state = played(shop(), Order(request_id="r", order_id="A-1"))
    assert state.status == "completed"
    assert [path for path, effect in state.forward.items() if effect.phase == "done"] == [
        "pack", "charge", "ship/book", "ship/hand_over", "ship/label", "mail", "told",
    ]  # fmt: skip


def test_what_was_called_is_undone_in_the_one_order_of_the_run() -> None:
    _, state = played(shop(refuses=True), Order(request_id="r", order_id="A-1"))
    assert state.status == "compensated"
    assert [undone.step for undone in state.undone] == ["ship/hand_over", "ship/book", "charge"]


def test_a_failure_within_a_call_turns_the_whole_run_back() -> None:
    _, state = played(shop(), Order(request_id="r", order_id="A-1"), **{"ship/hand_over": fails()})
    assert state.status == "compensated"
    assert state.failure is not None
    assert state.failure.step == "ship/hand_over"
    assert [undone.step for undone in state.undone] == ["ship/book", "charge"]


def test_a_call_that_is_not_wanted_is_skipped_whole() -> None:
    _, state = played(shop(), Order(request_id="r", order_id="A-1", urgent=True))
    assert state.status == "completed"
    skipped = [path for path, effect in state.forward.items() if effect.phase == "skipped"]
    assert skipped == ["ship/book", "ship/hand_over", "ship/label"]


def test_a_call_is_skipped_with_the_step_that_gives_its_trigger() -> None:
    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))

    @saga.read(when=saga.trigger.urgent == True)  # noqa: E712  a condition
    def pack(trigger: Order) -> Parcel:
        return Parcel(order=trigger.order_id, kg=3)

    called = Saga("called", trigger=Parcel)

    @called.read
    def without_trigger() -> int:
        return 1

    saga.call("part", called, trigger=pack.result)
    _, state = played(saga, Order(request_id="r", order_id="A-1"))
    assert {path: effect.phase for path, effect in state.forward.items()} == {
        "pack": "skipped",
        "part/without_trigger": "skipped",
    }


def test_one_saga_may_be_called_twice_and_calls_may_call() -> None:
    outer = Saga("outer", trigger=Order)

    @outer.read
    def pack(trigger: Order) -> Parcel:
        return Parcel(order=trigger.order_id, kg=3)

    part = shipping()
    first = outer.call("first", part, trigger=pack.result)
    outer.call("second", part, trigger=pack.result, after=first)
    top = Saga("top", trigger=Topic("orders", Order, idempotency_key="request_id"))
    top.call("all", outer, trigger=top.trigger)
    _, state = played(top, Order(request_id="r", order_id="A-1"))
    assert state.status == "completed"
    assert list(state.forward) == [
        "all/pack",
        "all/first/book",
        "all/first/hand_over",
        "all/first/label",
        "all/second/book",
        "all/second/hand_over",
        "all/second/label",
    ]
    keys = {effect.key for effect in state.forward.values() if effect.key is not None}
    assert len(keys) == 4, "each effect has a key of its own"


def test_a_field_of_the_trigger_may_stand_for_the_trigger_of_a_call() -> None:
    class Box(BaseModel):
        request_id: str
        content: Parcel

    saga = Saga("boxes", trigger=Topic("boxes", Box, idempotency_key="request_id"))
    saga.call("ship", shipping(), trigger=saga.trigger.content)
    form = saga.close().form
    assert form.step("ship/book").handler.arguments["trigger"] == Argument(source="trigger", field="content")
    assert "content.kg" in str(form.step("ship/hand_over").when)


def test_a_call_that_changed_changes_the_caller_s_hash() -> None:
    changed = Saga("shipping", trigger=Parcel)

    @changed.read
    def book(trigger: Parcel) -> Label:
        return Label(number=trigger.order)

    @changed.result
    def label(booked: Label = book.result) -> str:
        return booked.number

    assert graph_hash(shop().close().form) == graph_hash(shop().close().form)
    assert graph_hash(shop(changed).close().form) != graph_hash(shop().close().form)


def test_closing_the_caller_closes_what_it_calls() -> None:
    called = shipping()
    caller = shop(called)
    caller.check()

    @called.read
    def more() -> int:
        return 1

    caller.close()
    with pytest.raises(DefinitionError, match="in use already"):

        @called.read
        def too_late() -> int:
            return 1


def circle(length: int) -> Saga[Order]:
    sagas = [Saga(f"saga_{number}", trigger=Order) for number in range(length)]
    for number, saga in enumerate(sagas):
        after = sagas[(number + 1) % length]
        saga.call("next", after, trigger=saga.trigger)
    return sagas[0]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_saga_never_calls_itself(length: int) -> None:
    saga = circle(length)
    with pytest.raises(DefinitionError, match="calls itself"):
        saga.close()
    assert [each.code for each in saga.check()] == ["AM1010"]


def codes(saga: Saga[Order]) -> Sequence[str]:
    return [each.code for each in saga.check()]


def test_the_trigger_of_a_call_has_the_type_that_is_asked_for() -> None:
    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))
    saga.call("ship", shipping(), trigger=saga.trigger)  # type: ignore[misc]
    saga.call("again", shipping(), trigger=Parcel(order="A-1", kg=3))
    found = saga.check()
    assert [each.code for each in found] == ["AM1031", "AM1031"]
    assert "wants Parcel for its trigger, but shop.trigger is Order" in found[0].message
    assert "is no reference" in found[1].message


def test_who_waits_for_a_call_waits_for_the_last_of_its_steps_and_no_other() -> None:
    called = Saga("two_ends", trigger=Order)

    @called.action(idempotent=True)
    def begin() -> int:
        return 1

    @begin.undo
    def end() -> None: ...

    @end.verify
    def is_over() -> bool:
        return True

    @called.read(after=begin)
    def left() -> int:
        return 1

    @called.read(after=begin)
    def right() -> int:
        return 1

    saga = Saga("caller", trigger=Topic("orders", Order, idempotency_key="request_id"))
    both = saga.call("both", called, trigger=saga.trigger)

    @saga.read(after=both)
    def last() -> int:
        return 1

    form = saga.close().form
    assert form.step("last").after == ("both/left", "both/right")
    undo = form.step("both/begin").undo
    assert undo is not None
    assert undo.verify is not None
    assert undo.verify.name == "both/begin.undo.verify"


def test_a_call_comes_after_what_its_condition_asks_and_has_no_other_condition() -> None:
    saga = Saga("caller", trigger=Topic("orders", Order, idempotency_key="request_id"))

    @saga.read
    def weigh() -> Parcel:
        return Parcel(order="A", kg=1)

    saga.call("heavy", shipping(), trigger=weigh.result, when=weigh.result.kg > 2)
    saga.call("any", shipping(), trigger=weigh.result)
    form = saga.close().form
    assert (form.step("heavy/book").after, form.step("any/book").after) == (("weigh",), ("weigh",))
    assert form.step("heavy/book").when is not None
    assert form.step("any/book").when is None


def test_a_call_comes_after_the_step_that_only_its_condition_names() -> None:
    class Box(BaseModel):
        request_id: str
        content: Parcel

    saga = Saga("caller", trigger=Topic("boxes", Box, idempotency_key="request_id"))

    @saga.read
    def ask() -> Parcel:
        return Parcel(order="A", kg=1)

    saga.call("ship", shipping(), trigger=saga.trigger.content, when=ask.result.kg > 2)
    assert saga.close().form.step("ship/book").after == ("ask",)


def test_a_call_without_a_result_has_none_to_refer_to() -> None:
    called = Saga("silent", trigger=Order)

    @called.read
    def look() -> int:
        return 1

    saga = Saga("caller", trigger=Topic("orders", Order, idempotency_key="request_id"))
    call = saga.call("silent", called, trigger=saga.trigger)
    with pytest.raises(DefinitionError, match="declares no result") as refused:
        _ = call.result
    assert refused.value.findings[0].code == "AM1012"


def test_what_is_wrong_with_a_called_saga_is_told_at_the_call() -> None:
    called = Saga("broken", trigger=Order)

    @called.action(idempotent=True)
    def act() -> None: ...

    saga = Saga("caller", trigger=Topic("orders", Order, idempotency_key="request_id"))
    saga.call("sub", called, trigger=saga.trigger)
    said = [finding.message for finding in saga.check() if finding.code == "AM1010"]
    assert [each.startswith("call 'sub' is of saga 'broken', which cannot be called: ") for each in said] == [True]


def test_who_waits_for_another_saga_s_step_is_told_what_it_is() -> None:
    saga, other = shop(), Saga("other", trigger=Order)

    @other.read
    def elsewhere() -> int:
        return 1

    @saga.read(after=elsewhere)
    def step() -> int:
        return 1

    saga.call("more", shipping(), trigger=saga.trigger.order_id, after=elsewhere)  # type: ignore[misc]
    said = [finding.message for finding in saga.check() if finding.code == "AM1020"]
    assert said == [
        "step 'step' waits for 'elsewhere' of saga 'other'",
        "call 'more' waits for 'elsewhere' of saga 'other'",
    ]


def test_a_call_waits_only_for_what_is_there() -> None:
    saga, other = shop(), shop()
    saga.call("more", shipping(), trigger=other.trigger, after=["pakc"])  # type: ignore[misc]
    assert codes(saga) == ["AM1020", "AM1020"]


def test_a_call_and_a_step_have_different_names() -> None:
    saga = shop()
    with pytest.raises(DefinitionError, match="second step 'mail'"):
        saga.call("mail", shipping(), trigger=saga.trigger)  # type: ignore[misc]
    with pytest.raises(DefinitionError, match="second call 'ship'"):

        @saga.read(name="ship")
        def other() -> int:
            return 1


def test_a_rule_that_a_call_breaks_in_the_caller_is_told_at_the_call() -> None:
    part = Saga("part", trigger=Order)

    @part.action(idempotent=True, pivot=True)
    def point_of_no_return() -> None: ...

    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))
    saga.call("one", part, trigger=saga.trigger)
    saga.call("two", part, trigger=saga.trigger)
    (found,) = saga.check()
    assert found.code == "AM1060"
    assert found.line == saga.check()[0].line
    assert found.file is not None
    assert found.file.endswith("test_calls.py")


def test_a_saga_without_a_topic_is_called_and_never_started(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from tests.unit.definition.test_calls import shipping, shop\ncalled = shipping()\nsaga = shop(called)\n"
    )
    app = load_app(str(tmp_path / "app.py"))
    assert [saga.name for saga in app.sagas] == ["shop"]
    assert [saga.name for saga in app.parts] == ["shipping"]
    assert app.by("shipping").form.step("book").path == "book"


@pytest.mark.parametrize("returns", ["label", shop])
def test_returns_names_a_step_of_the_called_saga(returns: object) -> None:
    saga = shop()
    with pytest.raises(DefinitionError, match="is no step of saga 'shipping'"):
        saga.call("more", shipping(), trigger=saga.trigger, returns=returns)  # type: ignore[call-overload]
