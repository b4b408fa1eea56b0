"""Text at the width of a terminal: what is wrapped, what stands together, which commands can be copied."""

import shlex

import pytest

from amends.coordinator.cli.laying_out import alike, brief, called, command_lines, listed
from amends.coordinator.cli.output import WIDTH
from amends.coordinator.cli.steps_text import steps_text
from amends.schemas.events import Failure

RUN = "32e97119-c6a5-5258-8491-d53059d0ee95"
ITEMS = {"ship": tuple("abcdefgh"), "ship[2]/box": ("top", "bottom")}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(f"amends parked resolve {RUN} --step reserve --retry", id="a short one"),
        pytest.param(
            f"amends parked resolve {RUN} --step 'ship[2]/book a flight' --done-by-hand --evidence \"seen, at noon\"",
            id="a long one with quotes",
        ),
        pytest.param(f"amends runs cancel {RUN} --reason {'x' * 90}", id="a word that fits nowhere"),
        pytest.param(
            f"amends messages send {RUN} --type Arrival --json '{{\"a\": 1}}'", id="a key that looks like a run"
        ),
    ],
)
def test_a_command_that_is_folded_is_still_the_same_to_a_shell(command: str) -> None:
    lines = command_lines(command, indent="    ")
    as_a_shell_reads_it = "\n".join(lines).replace("\\\n", "")
    assert shlex.split(as_a_shell_reads_it) == shlex.split(brief(command))
    assert all(len(line) <= WIDTH for line in lines if "x" * 90 not in line)


def test_a_run_is_named_by_as_much_of_its_id_as_lists_show_and_a_key_is_left_alone() -> None:
    assert brief(f"amends runs kill {RUN} --reason ok") == "amends runs kill 32e97119-c6a5 --reason ok"
    assert brief(f"amends messages send {RUN} --type T") == f"amends messages send {RUN} --type T"


def test_the_last_column_is_wrapped_below_itself() -> None:
    said = "one two three " * 9
    lines = listed([("✔", "reserve", said), ("", "↩ charge", "short")])
    assert [line[:16] for line in lines] == ["    ✔ reserve   ", " " * 16, "      ↩ charge  "]
    assert all(len(line) <= WIDTH for line in lines)
    assert " ".join(line[16:].strip() for line in lines[:2]) == said.strip()


def test_many_items_of_which_the_same_is_to_be_said_are_one_line_and_few_stand_alone() -> None:
    many = [("", f"ship[{n}]/book", "done") for n in range(5)]
    assert alike(many) == [("", "ship[…]/book", "5 items: done")]
    assert alike(many[:3]) == many[:3]
    assert alike([("", "reserve", "done")] * 5) == [("", "reserve", "done")] * 5


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("reserve", "reserve"),
        ("ship[2]/book", "ship[2]/book (c)"),
        ("↩ ship[0]", "↩ ship[0] (a)"),
        ("ship[2]/box[1]/glue", "ship[2]/box[1]/glue (c, bottom)"),
        ("poll[4]", "poll[4]"),
        ("ship[99]", "ship[99]"),
    ],
)
def test_an_item_stands_with_what_it_is_called(path: str, name: str) -> None:
    assert called(path, ITEMS) == name


def step(path: str, status: str = "done", failure: Failure | None = None, undo: str | None = None) -> dict[str, object]:
    undone = None if undo is None else {"status": "done", "attempts": 1, "verified_by": undo}
    return {"path": path, "kind": "action", "status": status, "attempts": 1, "failure": failure, "undo": undone}


def test_what_an_item_is_called_makes_no_line_of_its_own_and_steers_nothing() -> None:
    items = {"ship": ("tea\n✔ completed", "mate\u2028\u202e", "\x9b31m")}
    lines = steps_text([step(f"ship[{index}]") for index in range(3)], ended=False, items=items)
    assert [line.split("  ")[1] for line in lines[1:]] == [
        r"ship[0] (tea\n✔ completed)",
        r"ship[1] (mate\u2028\u202e)",
        r"ship[2] (\x9b31m)",
    ]


def test_a_thousand_items_are_a_line_and_the_one_that_failed_another() -> None:
    failed = Failure(step="ship[7]", attempt=1, kind="refused", message="no truck")
    steps = [step(f"ship[{n}]") for n in range(1_000) if n != 7] + [step("ship[7]", "failed", failed)]
    assert steps_text(steps, ended=False, items=ITEMS) == [
        "  step         kind    status",
        "  ship[…]      action  ✔ done: 999 items",
        "  ship[7] (h)  action  ✖ failed",
        "      refused: no truck",
    ]


def test_what_undid_a_step_stands_beside_it() -> None:
    assert steps_text([step("charge", undo="readback"), step("ship", "pending")], ended=True, items={}) == [
        "  step    kind    status         undo",
        "  charge  action  ✔ done         ↩ undone, verified",
        "  ship    action  · not reached",
    ]
