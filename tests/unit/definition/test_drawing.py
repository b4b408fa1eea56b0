from amends import Saga, Topic
from amends.coordinator.definition.drawing import as_mermaid, as_text
from amends.coordinator.definition.drawing_svg import as_svg
from tests.simulation.definitions import action, read, saga
from tests.unit.definition.shop import Charge, Order, shop
from tests.unit.definition.test_calls import shipping
from tests.unit.definition.test_calls import shop as calling

TEXT = """\
shop v2 · starts on orders · deadline 1h
  ○ assess   read
  ● charge   action → payments (verified)  after assess
             when assess == 'good'
             ↩ undo, verified by read-back
  ◆ mail     action (pivot, irreversible, class C)  after charge
  ○ receipt  result  after charge, mail
  ◆ mail is the pivot: once it is done, nothing is undone.
  Class C: nothing can settle a lost reply of mail, so a person is asked.
"""

MERMAID = """\
flowchart TD
    trigger(["orders"])
    s0("assess<br/>read")
    s1["charge<br/>action (verified)"]
    s2{{"mail<br/>action (pivot, irreversible, class C)"}}
    s3("receipt<br/>result")
    trigger --> s0
    s0 -->|"assess == 'good'"| s1
    s1 --> s2
    s1 --> s3
    s2 --> s3
    s1 -.-> s1u>"↩ undo of charge"]
"""


def test_a_definition_is_drawn_as_text() -> None:
    assert as_text(shop().close().form) == TEXT


def test_a_definition_is_drawn_as_a_mermaid_flowchart() -> None:
    assert as_mermaid(shop().close().form) == MERMAID


def test_what_runs_lock_by_and_whose_data_they_seal_stands_with_the_trigger() -> None:
    topic = Topic("orders", Order, idempotency_key="request_id")
    saga = Saga("order", trigger=topic, locks={"order": "order_id"}, subject="request_id")
    saga.pause("breathe", "10m")
    form = saga.close().form
    assert [line.strip() for line in as_text(form).splitlines()[1:3]] == [
        "locks order by trigger.order_id",
        "sealed for trigger.request_id",
    ]
    assert 'trigger(["orders<br/>locks order by trigger.order_id<br/>sealed for trigger.request_id"])' in as_mermaid(
        form
    )
    assert "locks order by trigger.order_id, sealed for trigger.request_id<" in as_svg(form)


def test_a_wait_says_for_what_until_when_and_what_then() -> None:
    saga = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"), deadline="7d")
    paid = saga.wait("paid", Charge, correlation=saga.trigger.order_id, timeout="2d", on_timeout="park")
    saga.pause("breathe", "10m", after=paid)
    form = saga.close().form
    assert [line.strip() for line in as_text(form).splitlines()[1:5]] == [
        "○ paid     wait",
        "for Charge of trigger.order_id, within 2d, else park",
        "○ breathe  wait  after paid",
        "for 10m",
    ]
    assert '"paid<br/>wait<br/>for Charge of trigger.order_id<br/>within 2d, else park"' in as_mermaid(form)
    assert ">within 2d, else park</text>" in as_svg(form)
    assert "paid: wait, for Charge of trigger.order_id, within 2d, else park<" in as_svg(form)


def test_what_is_read_back_after_the_end_says_so() -> None:
    saga = Saga("order", trigger=Topic("orders", Order, idempotency_key="request_id"))

    @saga.action(idempotent=True)
    def book(trigger: Order) -> None: ...

    @book.verify(verify_after="2h")
    def is_booked(trigger: Order) -> bool:
        return True

    @book.undo
    def cancel(trigger: Order) -> None: ...

    @cancel.verify(verify_after="1d")
    def is_canceled(trigger: Order) -> bool:
        return True

    assert [line.strip() for line in as_text(saga.close().form).splitlines()[1:3]] == [
        "● book  action (verified 2h later)",
        "↩ undo, verified by read-back 1d later",
    ]


def test_a_saga_that_is_called_stands_in_a_frame_and_alone_says_that_it_is_called() -> None:
    mermaid = as_mermaid(calling().close().form).splitlines()
    frame = mermaid.index('    subgraph s2g["ship"]')
    assert mermaid[frame + 1 : frame + 5] == [
        '        s2["ship/book<br/>action"]',
        '        s3["ship/hand_over<br/>action"]',
        '        s4("ship/label<br/>read")',
        "    end",
    ]
    called = shipping().close().form
    assert as_text(called).startswith("shipping v1 · is called with a Parcel · ")
    assert as_mermaid(called).splitlines()[1] == '    trigger(["called"])'
    assert "Saga shipping v1 is called with a Parcel; " in as_svg(called)


def test_each_undo_names_the_undos_that_come_next() -> None:
    form = saga(action("a", ()), read("b", ("a",)), action("c", ("b",)), action("d", ("a",)))
    undos = [line.strip() for line in as_text(form).splitlines() if "↩ undo" in line]
    assert undos == [
        "↩ undo, verified by read-back",
        "↩ undo, verified by read-back; then ↩ a",
        "↩ undo, verified by read-back; then ↩ a",
    ]
    assert [line.strip() for line in as_mermaid(form).splitlines() if "then" in line] == [
        "s2u -.->|then| s0u",
        "s3u -.->|then| s0u",
    ]
