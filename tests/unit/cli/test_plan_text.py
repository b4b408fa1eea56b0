"""A plan for people."""

import msgspec
import pytest

from amends.coordinator.cli.plan_text import plan_text
from amends.coordinator.definition.comparing import Change
from amends.coordinator.definition.deploying import DeploymentPlan, OpenRuns, SagaPlan, Which
from amends.coordinator.definition.trigger_changes import Consequence, Verdict, worst
from tests.simulation.definitions import action

STEP = msgspec.to_builtins(action("ship", ("charge",), undo_verify=False))


def plan(
    *, changes: tuple[Change, ...] = (), verdict: Verdict = "safe", width: int | None = None, **more: object
) -> str:
    told: dict[str, object] = {"consequences": (), "open_runs": (), **more}
    saga = SagaPlan(
        saga="order",
        change="changed",
        verdict=verdict,
        before=Which(version=1, hash="1" * 64),
        after=Which(version=2, hash="2" * 64),
        changes=changes,
        **told,  # type: ignore[arg-type]
    )
    return plan_text(DeploymentPlan(app="sagas.py", against="deployed", verdict=verdict, sagas=(saga,)), width=width)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            Change(what="step", change="added", path="ship", after=STEP),
            "+ step ship: action after charge, class C, 3 attempts, timeout 1s;"
            " undo of ship, the participant's reply is the only evidence",
            id="a step more",
        ),
        pytest.param(Change(what="step", change="removed", path="ship", before=STEP), "- step ship", id="a step less"),
        pytest.param(
            Change(
                what="step", change="changed", path="ship", field="undo.retry.wait_max_ms", before=1_000, after=60_000
            ),
            "~ step ship: undo retry wait max 1s → 1m",
            id="a duration",
        ),
        pytest.param(
            Change(
                what="step",
                change="changed",
                path="ship",
                field="undo.verify.verify_after_ms",
                before=0,
                after=10_800_000,
            ),
            "~ step ship: undo verify after at once → 3h",
            id="a read-back that comes later",
        ),
        pytest.param(
            Change(what="step", change="added", path="ship", field="pending", after={"within_ms": 172_800_000}),
            "+ step ship: pending none → within 2d",
            id="an answer that may come later",
        ),
        pytest.param(
            Change(what="step", change="changed", path="ship", field="after", before=("a",), after=()),
            "~ step ship: after a → nothing",
            id="a list",
        ),
        pytest.param(
            Change(what="step", change="changed", path="ship", field="pivot", before=False, after=True),
            "~ step ship: pivot no → yes",
            id="yes and no",
        ),
        pytest.param(
            Change(
                what="step",
                change="added",
                path="ship",
                field="when",
                after={
                    "op": "compare",
                    "left": {"op": "ref", "step": None, "field": "vip"},
                    "how": "==",
                    "right": {"op": "value", "value": True},
                },
            ),
            "+ step ship: when none → trigger.vip == True",
            id="a condition",
        ),
        pytest.param(
            Change(
                what="step",
                change="changed",
                path="ship",
                field="handler.arguments.at",
                before={"source": "trigger", "step": None, "field": "at"},
                after={"source": "result", "step": "charge", "field": ""},
            ),
            "~ step ship: handler arguments at trigger.at → charge",
            id="an argument",
        ),
        pytest.param(
            Change(what="step", change="removed", path="ship", field="undo", before=STEP["undo"]),
            "- step ship: undo ship.undo → none",
            id="an undo less",
        ),
        pytest.param(
            Change(what="trigger", change="changed", field="topic", before="a", after="b"),
            "~ trigger topic a → b",
            id="of the trigger",
        ),
        pytest.param(
            Change(what="saga", change="changed", field="a.field_of.tomorrow", before={"x": 1}, after=["y"]),
            '~ a field of tomorrow {"x":1} → y',
            id="a field that nobody knew",
        ),
    ],
)
def test_a_change_is_told_in_one_line(change: Change, says: str) -> None:
    assert plan(changes=(change,)).splitlines() == [
        "sagas.py against deployed",
        "  ~ changed order v1 → v2",
        f"      {says}",
        "✔ safe for open runs",
    ]


def test_handlers_that_change_alike_are_told_in_one_line() -> None:
    changes = [
        Change(what="schema", change="changed", path=f"step_{n}", field="trigger", before={}, after=True)
        for n in range(6)
    ]
    text = plan(changes=(*changes, Change(what="schema", change="added", path="a", field="return", after={})))
    assert (
        "      ~ handlers step_0, step_1, step_2, step_3 and 2 more: parameter 'trigger' is of another type\n" in text
    )
    assert "      + handler a: what is returned is new\n" in text


def test_open_runs_are_told_with_what_they_lack_and_why() -> None:
    runs = OpenRuns(version=1, hash="1", runs=3, statuses={"parked": 1, "running": 2}, lacks={})
    text = plan(open_runs=(runs, msgspec.structs.replace(runs, runs=1, lacks={"b": "gone", "a": "gone"})))
    assert "✔ 3 open runs of v1 (1 parked, 2 running) go on with the graph they started with\n" in text
    assert "‖ 1 open run of v1 (1 parked, 2 running) would wait: b, a: gone\n" in text


def test_what_a_person_has_to_look_at_is_said_in_words_with_what_to_do() -> None:
    first = Consequence(verdict="person", says="it is bad", do="mend it", code="AM3001")
    text = plan(verdict="person", consequences=(first, Consequence(verdict="safe", says="it is well")))
    assert text.splitlines()[2:] == [
        "      ! look at this AM3001: it is bad",
        "        → mend it",
        "      · it is well",
        "✖ 1 thing for a person to look at first",
    ]


def test_the_worst_of_no_verdicts_is_none() -> None:
    assert worst([]) == "none"


def test_on_a_terminal_what_is_long_goes_on_below_its_symbol() -> None:
    handlers = ("reserve", "reserve.undo", "reserve.undo.verify", "ship")
    changes = tuple(Change(what="schema", change="changed", path=path, field="trigger") for path in handlers)
    asked = Consequence(verdict="person", code="AM3002", says="one open run would " + "wait " * 20, do="keep it " * 12)
    told = {"changes": changes, "verdict": "person", "consequences": (asked,)}
    whole, folded = plan(**told), plan(**told, width=80)  # type: ignore[arg-type]
    assert max(map(len, whole.splitlines())) > 80 >= max(map(len, folded.splitlines()))
    assert folded.split() == whole.split()
    at = next(n for n, line in enumerate(folded.splitlines()) if "look at this AM3002" in line)
    assert folded.splitlines()[at + 1].startswith("        wait wait")
