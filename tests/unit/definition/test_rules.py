"""The rules of the graph speak about forms, whatever front end made them: a form goes in, faults come out."""

from typing import Any

import msgspec
import pytest

from amends.coordinator.definition.expression import Reference
from amends.coordinator.definition.form import (
    Argument,
    Certainty,
    DefinitionForm,
    HandlerForm,
    RetryForm,
    StepForm,
    StepKind,
    TriggerForm,
    UndoForm,
)
from amends.coordinator.definition.rules.graph import faults

SURE = Certainty(deduplicates=True)


def handler(name: str, **arguments: tuple[str, str]) -> HandlerForm:
    """Arguments as `parameter=(source, step)`."""
    made = {each: Argument(source=source, step=step) for each, (source, step) in arguments.items()}  # type: ignore[arg-type]
    return HandlerForm(name=name, arguments=made, timeout_ms=1_000)


def undo(path: str, *, follow_up: bool = False, takes_unknown: bool = True, **arguments: tuple[str, str]) -> UndoForm:
    return UndoForm(
        handler=handler(f"{path}.undo", **arguments),
        verify=None,
        retry=RetryForm(),
        certainty=SURE,
        follow_up=follow_up,
        takes_unknown=takes_unknown,
    )


def action(path: str, *after: str, undone: bool = True, **options: Any) -> StepForm:
    options = {"handler": handler(path), "certainty": SURE, "undo": undo(path) if undone else None, **options}
    return StepForm(path=path, kind="action", after=after, **options)


def read(path: str, *after: str, kind: StepKind = "read", **options: Any) -> StepForm:
    return StepForm(path=path, after=after, kind=kind, **{"handler": handler(path), **options})


def form(*steps: StepForm) -> DefinitionForm:
    trigger = TriggerForm(topic="orders", model="Order", idempotency_key=None, business_key=None)
    return DefinitionForm(name="shop", version=1, trigger=trigger, steps=steps, deadline_ms=1_000)


def codes(*steps: StepForm) -> list[tuple[str, str | None, str]]:
    return [(each.code, each.step, each.role) for each in faults(form(*steps))]


WHEN = Reference(step="a", field="")
PIVOT = {"pivot": True, "undone": False}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((read("a"),), id="one read"),
        pytest.param((action("a"), action("b", "a"), action("c")), id="all undone"),
        pytest.param(
            (action("a"), action("b", "a", **PIVOT), action("c", "b", undone=False)), id="before and after a pivot"
        ),
        pytest.param((action("a"), action("b", "a", **PIVOT), read("c"), read("d", "b")), id="reads anywhere"),
        pytest.param(
            (action("a", irreversible=True, undo=undo("a", follow_up=True)), action("b")), id="a follow-up is an undo"
        ),
        pytest.param((action("a", irreversible=True, **PIVOT),), id="irreversible is the pivot"),
        pytest.param(
            (action("a"), action("b", "a", undo=undo("b", x=("maybe", "a"), y=("maybe", "b")))),
            id="an undo uses ancestors",
        ),
        pytest.param(
            (action("a"), read("b", "a"), action("c", "b", undo=undo("c", x=("result", "a")))),
            id="an undo uses far ancestors",
        ),
        pytest.param((action("a", certainty=Certainty(), unsafe="a test", undone=True),), id="class C with a reason"),
        pytest.param((action("a", certainty=Certainty(), lookup=handler("a.lookup")),), id="a lookup settles doubt"),
        pytest.param((action("a", certainty=Certainty(tombstones=True)),), id="tombstones settle doubt"),
        pytest.param(
            (
                read("a"),
                read("b", "a", when=WHEN),
                action("c", "b", handler=handler("c", x=("result", "b")), undo=undo("c", x=("result", "b"))),
            ),
            id="an undo takes the result of a step with which its own is skipped",
        ),
    ],
)
def test_a_good_graph_breaks_no_rule(steps: tuple[StepForm, ...]) -> None:
    assert codes(*steps) == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param((), [("AM1004", None, "step")], id="no steps"),
        pytest.param((read("end", kind="result"),), [("AM1004", None, "step")], id="only a result"),
        pytest.param(tuple(read(f"s{n}") for n in range(301)), [("AM1003", None, "step")], id="301 steps"),
        pytest.param((read("a", "b"),), [("AM1020", "a", "step")], id="an unknown step"),
        pytest.param((read("a", "a"),), [("AM1021", "a", "step")], id="itself"),
        pytest.param(
            (read("a", "c"), read("b", "a"), read("c", "b")), [("AM1022", "a", "step")], id="a circle of three"
        ),
        pytest.param(
            (read("a", "b"), read("b", "a"), read("c", "d"), read("d", "c")),
            [("AM1022", "a", "step"), ("AM1022", "c", "step")],
            id="two circles",
        ),
        pytest.param((read("a", "b"), read("b", "a"), read("c", "a")), [("AM1022", "a", "step")], id="behind a circle"),
        pytest.param((action("a", undone=False),), [("AM1050", "a", "step")], id="no undo"),
        pytest.param(
            (action("a", undone=False), action("b", "a", **PIVOT)),
            [("AM1050", "a", "step")],
            id="no undo before the pivot",
        ),
        pytest.param((action("a", irreversible=True),), [("AM1053", "a", "undo")], id="irreversible and undone"),
        pytest.param(
            (action("a", undo=undo("a", follow_up=True)),), [("AM1054", "a", "undo")], id="a needless follow-up"
        ),
        pytest.param(
            (action("a"), action("b", undo=undo("b", x=("maybe", "a")))),
            [("AM1052", "b", "undo")],
            id="an undo uses a stranger",
        ),
        pytest.param(
            (action("a", undo=undo("a", x=("result", "b"))), action("b", "a")),
            [("AM1052", "a", "undo")],
            id="an undo uses what comes later",
        ),
        pytest.param(
            (action("a"), action("b", verify=handler("b.verify", x=("result", "a")))),
            [("AM1055", "b", "verify")],
            id="a read-back uses a stranger",
        ),
        pytest.param(
            (action("a", lookup=handler("a.lookup", x=("maybe", "a"))),),
            [("AM1055", "a", "lookup")],
            id="a lookup uses itself",
        ),
        pytest.param(
            (action("a", undo=undo("a", takes_unknown=False, x=("result", "a"))),),
            [("AM1056", "a", "undo")],
            id="an undo needs the result",
        ),
        pytest.param(
            (
                action(
                    "a",
                    undo=msgspec.structs.replace(
                        undo("a", takes_unknown=False), verify=handler("v", x=("result", "a"))
                    ),
                ),
            ),
            [("AM1056", "a", "undo.verify")],
            id="the undo's read-back needs the result",
        ),
        pytest.param(
            (
                read("a"),
                read("b", "a", when=WHEN),
                read("end", "b", kind="result", handler=handler("end", x=("result", "b"))),
            ),
            [("AM1039", "end", "step")],
            id="the result takes what may be skipped",
        ),
        pytest.param(
            (read("a"), read("b", "a", when=WHEN), action("c", "b", undo=undo("c", x=("result", "b")))),
            [("AM1039", "c", "undo")],
            id="an undo takes what may be skipped without its step",
        ),
        pytest.param(
            (
                read("a"),
                read("b", "a", when=WHEN),
                read("c", "b", handler=handler("c", x=("result", "b"))),
                read("end", "c", kind="result", handler=handler("end", x=("result", "c"))),
            ),
            [("AM1039", "end", "step")],
            id="the result takes what is skipped along",
        ),
        pytest.param((action("a", **PIVOT), action("b", "a", **PIVOT)), [("AM1060", "b", "step")], id="two pivots"),
        pytest.param((action("a"), action("b", **PIVOT)), [("AM1061", "a", "step")], id="an undo beside the pivot"),
        pytest.param((action("a", **PIVOT), action("b", "a")), [("AM1061", "b", "step")], id="an undo after the pivot"),
        pytest.param(
            (action("a", irreversible=True, undo=undo("a", follow_up=True)), action("b", **PIVOT)),
            [("AM1061", "a", "step")],
            id="a follow-up beside the pivot",
        ),
        pytest.param(
            (action("a", **PIVOT), action("b", undone=False)),
            [("AM1062", "b", "step")],
            id="retriable beside the pivot",
        ),
        pytest.param((action("a", pivot=True),), [("AM1063", "a", "undo")], id="the pivot has an undo"),
        pytest.param((action("a", certainty=Certainty(settle_ms=30_000)),), [("AM1080", "a", "step")], id="class C"),
    ],
)
def test_a_bad_graph_breaks_the_rule_at_its_step(steps: tuple[StepForm, ...], expected: list[object]) -> None:
    assert codes(*steps) == expected


def test_three_hundred_steps_are_allowed() -> None:
    assert codes(*(read(f"s{n}") for n in range(300))) == []


def test_a_circle_is_told_by_its_shortest_way() -> None:
    (fault,) = faults(form(read("a", "b", "c"), read("b", "c"), read("c", "a")))
    assert "a → c → a" in fault.message
