"""Calls that are repeated: for every item of a list, and in rounds."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic
from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.core.evolve import fold
from amends.coordinator.core.state import State
from amends.coordinator.definition.drawing import as_mermaid, as_text
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.form import Argument
from amends.coordinator.testing.clock import Clock
from amends.coordinator.testing.world import World
from amends.schemas.canonical import digest
from amends.schemas.entry import decode


class Line(BaseModel):
    sku: str
    count: int
    boxes: list[str] = []


class Order(BaseModel):
    request_id: str
    lines: list[Line]
    more: list[int] = []


class Text(BaseModel):
    text: str
    good: bool = False


Seen = list[object]


def line_saga(seen: Seen) -> Saga[Line]:
    saga = Saga("line", trigger=Line)

    @saga.action(idempotent=True)
    def reserve(ctx: Context, trigger: Line) -> str:
        seen.append((ctx.step, trigger.sku))
        if trigger.count == 0:
            raise StepRefused("none left")
        return f"{trigger.sku} x {trigger.count}"

    @reserve.undo(verify="reply")
    def release(trigger: Line, reserved: str | None = reserve.maybe) -> None:
        seen.append(("undone", trigger.sku, reserved))

    @saga.result
    def reserved(what: str = reserve.result) -> str:
        return what

    return saga


def shop(seen: Seen, *, refuses: bool = False, **options: Any) -> Saga[Order]:
    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))
    lines = saga.for_each("lines", line_saga(seen), saga.trigger.lines, **{"key": "sku", **options})

    @saga.action(idempotent=True)
    def mail(texts: list[str | None] = lines.result) -> None:
        seen.append(texts)
        if refuses:
            raise StepRefused("no address")

    @mail.undo(verify="reply")
    def apologize() -> None: ...

    return saga


def played(saga: Saga[Any], trigger: BaseModel) -> State:
    store = MemoryStore()
    store.migrate(shards=1)
    world = World(store, saga, clock=Clock())
    world.publish(trigger)
    world.run()
    (row,) = store.runs()
    return fold(decode(entry.data) for entry in store.entries_of(row.saga_id))


def order(**counts: int) -> Order:
    return Order(request_id="r", lines=[Line(sku=sku, count=count) for sku, count in counts.items()])


def test_a_saga_is_called_once_for_every_item_and_gives_a_list() -> None:
    seen: Seen = []
    assert played(shop(seen), order(a=1, b=2)).status == "completed"
    assert seen == [("lines[0]/reserve", "a"), ("lines[1]/reserve", "b"), ["a x 1", "b x 2"]]


def test_no_items_give_an_empty_list() -> None:
    seen: Seen = []
    assert played(shop(seen), order()).status == "completed"
    assert seen == [[]]


def test_every_item_is_undone_by_its_own_values_the_last_one_first() -> None:
    seen: Seen = []
    state = played(shop(seen, refuses=True), order(a=1, b=2))
    assert state.status == "compensated"
    assert seen[-2:] == [("undone", "b", "b x 2"), ("undone", "a", "a x 1")]


def test_a_failed_item_fails_the_run() -> None:
    seen: Seen = []
    state = played(shop(seen), order(a=1, b=0))
    assert state.failure is not None
    assert state.failure.step == "lines[1]/reserve"
    assert seen[-1] == ("undone", "a", "a x 1")


def test_or_is_left_out_of_a_list_that_is_collected() -> None:
    seen: Seen = []
    assert played(shop(seen, policy="collect"), order(a=1, b=0, c=3)).status == "completed"
    assert seen[-1] == ["a x 1", None, "c x 3"]


def improving(saga_name: str = "drafting") -> tuple[Saga[Text], Any]:
    saga = Saga(saga_name, trigger=Text)

    @saga.read
    def improve(trigger: Text) -> Text:
        return Text(text=trigger.text + "!", good=len(trigger.text) > 2)

    return saga, improve


def drafts(**options: Any) -> Saga[Text]:
    called, improve = improving()
    saga = Saga("texts", trigger=Topic("texts", Text, idempotency_key="text"))
    draft = saga.loop(
        "draft", called, trigger=saga.trigger, until=improve.result.good == True, max=5, returns=improve, **options  # noqa: E712  a condition
    )  # fmt: skip

    @saga.result
    def last(text: Text = draft.result) -> str:
        return text.text

    return saga


def test_rounds_that_carry_begin_with_what_the_one_before_returned() -> None:
    state = played(drafts(carry=True), Text(text="a"))
    assert state.status == "completed"
    assert [path for path in state.forward if path.startswith("draft[")] == [
        "draft[0]/improve", "draft[1]/improve", "draft[2]/improve",
    ]  # fmt: skip


def test_without_it_every_round_begins_alike_and_one_that_never_succeeds_ends() -> None:
    state = played(drafts(), Text(text="a"))
    assert (state.status, state.cause) == ("compensated", "failed")
    assert state.failure is not None
    assert state.failure.message == "5 rounds, and its condition does not hold"
    assert played(drafts(on_max="go_on"), Text(text="a")).status == "completed"


def test_between_rounds_passes_what_is_said() -> None:
    slow, quick = played(drafts(carry=True, every="10s"), Text(text="a")), played(drafts(carry=True), Text(text="a"))
    assert slow.ended_at is not None
    assert quick.ended_at is not None
    assert slow.ended_at - quick.ended_at == 20_000_000


def test_what_is_repeated_may_repeat_with_the_item_of_an_item() -> None:
    box = Saga("box", trigger=str)

    @box.read
    def weigh(trigger: str) -> int:
        return len(trigger)

    packing = Saga("packing", trigger=Line)
    weights = packing.for_each("boxes", box, packing.trigger.boxes, returns=weigh)

    @packing.result
    def total(all_of_them: list[int] = weights.result) -> int:
        return sum(all_of_them)

    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))
    totals = saga.for_each("lines", packing, saga.trigger.lines, key="sku", returns=total)

    @saga.result
    def outcome(found: list[int] = totals.result) -> list[int]:
        return found

    boxes = {"a": ["x", "yyy"], "b": [], "c": ["zz"]}
    lines = [Line(sku=sku, count=1, boxes=found) for sku, found in boxes.items()]
    state = played(saga, Order(request_id="r", lines=lines))
    assert state.status == "completed"
    assert state.result == digest(b"[4,0,2]")


def test_a_repeated_call_is_one_step_of_the_form_that_holds_the_others() -> None:
    form = shop([]).close().form
    lines = form.step("lines")
    assert lines.each is not None
    assert (lines.kind, lines.each.key, lines.each.returns) == ("for_each", "sku", "lines/reserved")
    assert lines.handler.arguments == {"items": Argument(source="trigger", field="lines")}
    reserve = lines.each.steps[0]
    assert reserve.path == "lines/reserve"
    assert reserve.handler.arguments["trigger"] == Argument(source="result", step="lines[]")
    assert [step.path for step in form.every_step()] == ["lines", "lines/reserve", "lines/reserved", "mail"]


def test_a_picture_shows_what_is_repeated_once() -> None:
    text = as_text(shop([], policy="collect", concurrency=4).close().form)
    assert "each of trigger.lines by sku, 4 at once, without those that fail" in text
    assert "● lines/reserve   action  after lines\n" in text
    assert "then ↩ lines/reserve" in text
    assert "until draft/improve.good == True, 5 rounds, every 10s, then go on" in as_text(
        drafts(every="10s", on_max="go_on").close().form
    )
    assert "subgraph" in as_mermaid(drafts().close().form)


def with_key(key: str) -> Saga[Order]:
    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))
    saga.for_each("lines", line_saga([]), saga.trigger.lines, key=key)
    return saga


def over_numbers() -> Saga[Order]:
    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))
    saga.for_each("lines", line_saga([]), saga.trigger.more)  # type: ignore[misc]
    return saga


def until_of_another() -> Saga[Text]:
    called, _ = improving()
    saga = Saga("texts", trigger=Topic("texts", Text, idempotency_key="text"))
    saga.loop("draft", called, trigger=saga.trigger, until=saga.trigger.good == True, max=2)  # noqa: E712  a condition
    return saga


@pytest.mark.parametrize(
    ("make", "codes", "said"),
    [
        (lambda: with_key("skuu"), ["AM1030"], "has key='skuu': Line has no field 'skuu'"),
        (lambda: with_key("boxes"), ["AM1013"], "is list[str], which tells no items apart"),
        (lambda: with_key(""), ["AM1013"], "is Line, which tells no items apart"),
        (over_numbers, ["AM1013", "AM1031"], "wants list[Line] for its items, but shop.trigger.more is list[int]"),
        (until_of_another, ["AM1020"], "refer"),
    ],
)
def test_a_repetition_that_cannot_be_is_found(make: Callable[[], Saga[Any]], codes: Sequence[str], said: str) -> None:
    found = make().check()
    assert sorted(each.code for each in found) == codes
    assert any(said in each.message for each in found)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": 1_001},
        {"items_max": 10_001},
        {"policy": "some"},
        {"key": 7},
        {"concurency": 2},
    ],
)
def test_an_option_that_a_for_each_cannot_have_is_refused_where_it_stands(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"test_repeated_calls\.py"):
        shop([], **options)


@pytest.mark.parametrize("options", [{"every": "soon"}, {"on_max": "stop"}, {"rounds": 3}])
def test_an_option_that_a_loop_cannot_have_is_refused_where_it_stands(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"test_repeated_calls\.py"):
        drafts(**options)


class Arrival(BaseModel):
    box: str


def test_every_item_may_wait_for_a_message_of_its_own() -> None:
    line = Saga("line", trigger=Line)
    arrived = line.wait("arrived", Arrival, correlation=line.trigger.sku, timeout="30m")

    @line.result
    def box(arrival: Arrival = arrived.result) -> str:
        return arrival.box

    saga = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id"))
    boxes = saga.for_each("lines", line, saga.trigger.lines, key="sku", returns=box)

    @saga.result
    def outcome(found: list[str] = boxes.result) -> list[str]:
        return found

    clock = Clock()
    store = MemoryStore(clock=clock)
    store.migrate(shards=1)
    world = World(store, saga, clock=clock)
    world.send("Arrival", "b", Arrival(box="B-1"))
    world.publish(order(a=1, b=1))
    world.run(until=world.clock.now + 1_000_000)
    world.crash()
    world.run(until=world.clock.now + 1_000_000)
    world.send("Arrival", "a", Arrival(box="A-1"))
    world.run()
    (row,) = store.runs()
    state = fold(decode(entry.data) for entry in store.entries_of(row.saga_id))
    assert (state.status, state.result) == ("completed", digest(b'["A-1","B-1"]'))
