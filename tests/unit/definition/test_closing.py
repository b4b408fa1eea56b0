"""A saga that closes becomes data: one form for one graph, one hash, and schemas beside it."""

# mypy: disable-error-code="empty-body"
# The handlers here are only looked at, never called.
import gc
import json
import weakref
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field

from amends import Budget, Context, Retry, Saga, negate, one_of
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.expression import (
    AllOf,
    AnyOf,
    Compare,
    Negate,
    Number,
    OneOf,
    Reference,
    Value,
    holds,
)
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.form import (
    Argument,
    Certainty,
    DefinitionForm,
    RetryForm,
    graph_hash,
    read_stored,
)
from tests.unit.definition.shop import Order, Payments, orders, shop


def test_a_step_takes_the_certainty_of_its_participant_and_may_say_otherwise() -> None:
    saga = Saga("doubt", trigger=orders())

    @saga.action(dependency=Payments(), irreversible=True)
    def promised(trigger: Order) -> None: ...

    @promised.follow_up(verify="reply", tombstones=True, idempotent=False)
    def amend(trigger: Order) -> None: ...

    @saga.action(dependency=Payments(), idempotent="2h", settle_s=5, settle="wait", settle_within="1m", after=promised)
    def said(trigger: Order) -> None: ...

    @said.undo(verify="reply")
    def undo(trigger: Order) -> None: ...

    form = saga.close().form
    promise = Certainty(deduplicates=True, window_ms=86_400_000, settle_ms=30_000)
    assert form.step("promised").certainty == promise
    follow_up = form.step("promised").undo
    assert follow_up is not None
    assert follow_up.follow_up
    assert follow_up.certainty == Certainty(tombstones=True, settle_ms=30_000)
    expected = Certainty(
        deduplicates=True, window_ms=7_200_000, settle_ms=5_000, settle="wait", settle_within_ms=60_000
    )
    assert form.step("said").certainty == expected
    assert form.step("said").undo.certainty == expected  # type: ignore[union-attr]


def test_defaults_are_those_of_the_contract() -> None:
    form = shop().close().form
    charge, mail = form.step("charge"), form.step("mail")
    assert charge.undo is not None
    assert (form.deadline_ms, form.entries_max, form.payload_bytes_max) == (3_600_000, 10_000, 8_000_000)
    assert form.trigger.size_bytes_max == 1_000_000
    assert charge.retry == RetryForm(attempts=3, wait_ms=200, factor=2, jitter_percent=20, wait_max_ms=30_000)
    assert charge.undo.retry == RetryForm(attempts=5)
    assert mail.class_c
    assert mail.retry == RetryForm(attempts=1)
    assert charge.handler.timeout_ms == 30_000
    assert charge.drain_within_ms == 60_000
    assert charge.certainty.settle_within_ms == 300_000
    assert charge.verify is not None
    assert charge.undo.verify is not None
    assert (charge.verify.within_ms, charge.undo.verify.within_ms) == (10_000, 60_000)


def test_options_arrive_in_the_form() -> None:
    saga = Saga(
        "options", version=4, trigger=orders(), deadline="2h", budget=Budget(usd="1.50", wall_time="1h", attempts=9)
    )
    retry = Retry(attempts=7, wait="1s", factor=3, jitter_percent=0, wait_max="1m")

    @saga.action(timeout="5s", retry=retry, pivot=True, drain_within=1, verify_within=2, unsafe="why not", name="paid")
    def pay(trigger: Order) -> None: ...

    @pay.verify
    def is_paid(trigger: Order) -> bool: ...

    form = saga.close().form
    step = form.step("paid")
    assert (form.version, form.deadline_ms, form.budget.usd, form.budget.wall_ms) == (4, 7_200_000, "1.50", 3_600_000)
    assert step.retry == RetryForm(attempts=7, wait_ms=1_000, factor=3, jitter_percent=0, wait_max_ms=60_000)
    assert (step.handler.timeout_ms, step.drain_within_ms, step.unsafe) == (5_000, 1_000, "why not")
    assert step.pivot
    assert step.verify is not None
    assert step.verify.within_ms == 2_000


def test_arguments_say_where_values_come_from() -> None:
    form = shop().close().form
    charge = form.step("charge")
    assert charge.handler.arguments == {"ctx": Argument(source="context"), "trigger": Argument(source="trigger")}
    assert charge.verify is not None
    assert charge.verify.arguments == {"charge_id": Argument(source="result", step="charge", field="id")}
    assert charge.undo is not None
    assert charge.undo.handler.arguments["charged"] == Argument(source="maybe", step="charge")
    assert charge.undo.takes_unknown
    assert form.step("mail").handler.arguments["order_id"] == Argument(source="trigger", field="order_id")


def test_a_step_waits_for_all_it_takes_and_the_result_for_all_that_nothing_waits_for() -> None:
    form = shop().close().form
    assert {step.path: step.after for step in form.steps} == {
        "assess": (),
        "charge": ("assess",),
        "mail": ("charge",),
        "receipt": ("charge", "mail"),
    }
    assert [step.path for step in form.steps] == ["assess", "charge", "mail", "receipt"]


class Aliased(BaseModel):
    order_id: str = Field(alias="orderId")


def test_fields_are_referred_to_under_the_names_they_are_written_with() -> None:
    saga = Saga("aliased", trigger=orders())

    @saga.read
    def first(trigger: Order) -> Aliased: ...

    @saga.read(when=first.result.order_id == "A")
    def second(order_id: str = first.result.order_id) -> None: ...

    step = saga.close().form.step("second")
    assert step.handler.arguments["order_id"].field == "orderId"
    assert step.when == Compare(left=Reference(step="first", field="orderId"), how="==", right=Value(value="A"))


def parallel(*names: str) -> ClosedSaga:
    saga = Saga("parallel", trigger=orders())

    def step(trigger: Order) -> int:
        return 1

    for name in names:
        saga.read(name=name)(step)
    return saga.close()


def test_moving_a_function_in_its_file_leaves_the_hash_as_it_is() -> None:
    assert parallel("a", "b", "c").hash == parallel("c", "a", "b").hash


def test_bodies_docstrings_and_schemas_are_not_in_the_hash() -> None:
    def saga(kind: type, docstring: str) -> ClosedSaga:
        made = Saga("bodies", trigger=orders())

        def step(trigger: Order) -> Any: ...

        step.__annotations__["return"] = kind
        step.__doc__ = docstring
        made.read(step)
        return made.close()

    assert saga(int, "one").hash == saga(str, "two").hash
    assert saga(int, "one").stored.schemas != saga(str, "two").stored.schemas


@pytest.mark.parametrize(
    "options", [{"timeout": 5}, {"retry": Retry(attempts=9)}, {"dependency": "mail"}, {"name": "other"}]
)
def test_what_decides_a_runs_course_is_in_the_hash(options: dict[str, Any]) -> None:
    def step(trigger: Order) -> int:
        return 1

    plain, other = Saga("course", trigger=orders()), Saga("course", trigger=orders())
    plain.read(step)
    other.read(**options)(step)
    assert plain.close().hash != other.close().hash


def test_what_is_stored_reads_back_equal() -> None:
    closed = shop().close()
    assert msgspec.json.decode(msgspec.json.encode(closed.form), type=DefinitionForm) == closed.form
    assert closed.hash == graph_hash(closed.form)
    stored = read_stored(msgspec.json.encode(closed.stored))
    assert stored.form == closed.form
    assert set(stored.schemas) == set(closed.handlers)
    assert json.loads(bytes(stored.schemas["charge.lookup"].result))["anyOf"][1] == {"type": "null"}
    assert json.loads(bytes(stored.schemas["charge.undo"].result)) is None
    assert json.loads(bytes(stored.trigger_schema))["required"] == ["request_id", "order_id"]


def test_closing_twice_is_closing_once() -> None:
    saga = shop()
    assert saga.close() is saga.close()


class Held:
    """Something in a function's locals."""


def test_a_closed_saga_holds_on_to_no_locals_of_the_function_that_made_it() -> None:
    def made() -> tuple[Saga[Order], "weakref.ref[Held]"]:
        held = Held()
        saga = Saga("locals", trigger=orders())

        @saga.read
        def step(trigger: Order) -> int: ...

        return saga, weakref.ref(held)

    saga, held = made()
    saga.close()
    gc.collect()
    assert held() is None


def test_hints_resolve_in_the_module_then_in_the_frame_that_decorated() -> None:
    class Local(BaseModel):
        x: int

    saga = Saga("frames", trigger=orders())

    @saga.read
    def step(trigger: "Order") -> "Local": ...

    schema = json.loads(bytes(saga.close().stored.schemas["step"].result))
    assert schema["title"] == "Local"


class Color(Enum):
    RED = "red"


class Answer(BaseModel):
    text: str
    count: int
    price: Decimal
    color: Color
    sure: bool
    id: UUID
    note: str | None
    at: datetime


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda r: r.text == "x", Compare(left=Reference(step="ask", field="text"), how="==", right=Value(value="x"))),
        (lambda r: r.count >= 3, Compare(left=Reference(step="ask", field="count"), how=">=", right=Value(value=3))),
        (
            lambda r: r.count > 2.5,
            Compare(left=Reference(step="ask", field="count"), how=">", right=Number(text="2.5")),
        ),
        (lambda r: 3 < r.count, Compare(left=Reference(step="ask", field="count"), how=">", right=Value(value=3))),  # noqa: SIM300
        (
            lambda r: r.price < Decimal("1.50"),
            Compare(left=Reference(step="ask", field="price"), how="<", right=Number(text="1.50")),
        ),
        (
            lambda r: r.color == Color.RED,
            Compare(left=Reference(step="ask", field="color"), how="==", right=Value(value="red")),
        ),
        (
            lambda r: r.note == None,  # noqa: E711
            Compare(left=Reference(step="ask", field="note"), how="==", right=Value(value=None)),
        ),
        (lambda r: r.sure, Reference(step="ask", field="sure")),
        (lambda r: negate(r.sure), Negate(part=Reference(step="ask", field="sure"))),
        (
            lambda r: one_of(r.text, "a", "b"),
            OneOf(left=Reference(step="ask", field="text"), values=(Value(value="a"), Value(value="b"))),
        ),
        (
            lambda r: r.text.one_of("a", "b"),
            OneOf(left=Reference(step="ask", field="text"), values=(Value(value="a"), Value(value="b"))),
        ),
        (
            lambda r: r.sure & r.sure & r.sure,
            AllOf(parts=(Reference(step="ask", field="sure"),) * 3),
        ),
        (
            lambda r: (r.sure & r.sure) | r.sure,
            AnyOf(parts=(AllOf(parts=(Reference(step="ask", field="sure"),) * 2), Reference(step="ask", field="sure"))),
        ),
    ],
)
def test_conditions_become_expressions(build: Any, expected: object) -> None:
    assert closed_with(build).form.step("then").when == expected


def closed_with(build: Any) -> ClosedSaga:
    saga = Saga("conditions", trigger=orders())

    @saga.read
    def ask(trigger: Order) -> Answer: ...

    @saga.read(when=build(ask.result))
    def then(trigger: Order) -> None: ...

    return saga.close()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda r: r.count == "three", "'three' is never a value of int"),
        (lambda r: r.color == "rde", "did you mean 'red'?"),
        (lambda r: one_of(r.text, "a", 1), "1 is never a value of str"),
        (lambda r: one_of(r.text), "names no value"),
        (lambda r: one_of("a", r.text), "is about no reference"),
        (lambda r: r.text == r.count, "never equal"),
        (lambda r: r.text, "is str, not a condition"),
        (lambda r: (r.sure) & True, "True is not a condition"),
        (lambda r: False, "False is not a condition"),
        (lambda r: r.text == object(), "is never a value of str"),
        (lambda r: r.count == 2.5, "2.5 is never a value of int"),
        (lambda r: r.sure > False, "a bool has no order"),
        (lambda r: r.color >= Color.RED, "a Color has no order"),
        (lambda r: r.at == datetime(2026, 1, 1, tzinfo=UTC), "does not sort as time does"),
        (lambda r: r.at < r.at, "a datetime cannot be compared"),
    ],
)
def test_conditions_that_cannot_be_true_are_refused(build: Any, says: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        closed_with(build)
    assert caught.value.code == "AM1038"
    assert says in str(caught.value)


def test_a_condition_on_a_stored_result_holds_as_it_reads() -> None:
    when = (
        closed_with(lambda r: (r.price < Decimal(2)) & (r.color == Color.RED) & negate(r.note == "no"))
        .form.step("then")
        .when
    )
    assert when is not None
    stored = {"price": "1.50", "color": "red", "note": None}
    assert holds(when, lambda _: stored)
    assert not holds(when, lambda _: {**stored, "price": "2.00"})
    assert not holds(when, lambda _: {**stored, "note": "no"})


def test_every_broken_rule_is_told_at_once_in_the_order_of_the_file() -> None:
    saga = Saga("many", trigger=orders())

    @saga.action
    def pay(trigger: Order) -> None: ...

    @saga.read(after="pya")
    def look(trigger: int) -> None: ...

    findings = saga.check()
    assert [(each.code, each.severity) for each in findings] == [("AM1020", "error"), ("AM1031", "error")]
    with pytest.raises(DefinitionError, match=r"and 1 more: `amends check` lists them") as caught:
        saga.close()
    assert list(caught.value.findings) == findings


def test_a_reference_to_another_sagas_step_is_refused() -> None:
    other = Saga("other", trigger=orders())

    @other.read
    def far(trigger: Order) -> bool: ...

    saga = Saga("near", trigger=orders())

    @saga.read(when=far.result, after=far)
    def near(*, value: bool = far.result) -> None: ...

    assert {each.code for each in saga.check()} == {"AM1020"}


def test_handlers_take_their_names_from_their_roles_so_that_undo_functions_may_share_one() -> None:
    saga = Saga("names", trigger=orders())

    @saga.action(idempotent=True)
    def one(trigger: Order) -> None: ...

    @one.undo(verify="reply")
    def undo(ctx: Context) -> None: ...

    @saga.action(idempotent=True)
    def two(trigger: Order) -> None: ...

    @two.undo(verify="reply")  # type: ignore[no-redef]
    def undo(ctx: Context) -> None: ...  # noqa: F811

    handlers = saga.close().handlers
    assert {"one.undo", "two.undo"} <= set(handlers)
    assert handlers["one.undo"].function is not handlers["two.undo"].function
