from amends.coordinator.definition.drawing import as_mermaid, as_text
from tests.simulation.definitions import action, read, saga
from tests.unit.definition.shop import shop

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
