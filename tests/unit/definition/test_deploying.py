"""What a deployment means, as a table of what there was and what is to come."""

from collections.abc import Mapping

import msgspec
import pytest
from msgspec.structs import replace

from amends.coordinator.definition.deploying import (
    EXIT_CODES,
    Deployed,
    DeploymentPlan,
    OpenRuns,
    Situation,
    planned,
)
from amends.coordinator.definition.form import DefinitionForm, StoredDefinition, TriggerForm, graph_hash
from amends.coordinator.definition.trigger_changes import consequences
from tests.simulation.definitions import action, saga

V1 = replace(saga(action("a", ())), version=1)
V2 = replace(saga(action("a", ()), action("b", ("a",))), version=2)
OTHER_V1 = replace(V2, version=1)
SCHEMA = b'{"type":"object","properties":{"order":{"type":"string"}},"required":["order"]}'


def stored(form: DefinitionForm, schema: bytes = SCHEMA) -> StoredDefinition:
    return StoredDefinition(form=form, schemas={}, trigger_schema=msgspec.Raw(schema))


def situation(
    today: list[DefinitionForm],
    deployed: list[DefinitionForm],
    *,
    runs: Mapping[str, int] | None = None,
    lacks: Mapping[str, str] | None = None,
) -> Situation:
    """`runs` counts the open ones by the hash of their graph, all of which lack the same."""
    missing = dict(lacks or {})
    return Situation(
        today=[stored(form) for form in today],
        deployed=[
            Deployed(hash=graph_hash(form), stored=stored(form), stored_at=at) for at, form in enumerate(deployed)
        ],
        open_runs=None
        if runs is None
        else [
            OpenRuns(version=1, hash=digest, runs=count, statuses={"running": count}, lacks=missing)
            for digest, count in runs.items()
        ],
        saga_of=dict.fromkeys(runs or {}, "order"),
        lacks=lambda _digest: missing,
    )


def plan(found: Situation) -> DeploymentPlan:
    return planned(found, app="sagas.py", against="deployed")


LACKS = {"b.undo": "there is no handler of this name"}


@pytest.mark.parametrize(
    ("found", "change", "code", "says"),
    [
        pytest.param(situation([V1], [], runs={}), "new", 10, ["starts on orders"], id="a new saga"),
        pytest.param(situation([V1], [V1], runs={}), "unchanged", 0, [], id="nothing"),
        pytest.param(situation([V2], [V1], runs={}), "changed", 10, [], id="a new version"),
        pytest.param(situation([V2], [V1], runs={graph_hash(V1): 3}), "changed", 10, [], id="a new version, runs open"),
        pytest.param(situation([V1, V2], [V1, V2], runs={}), "unchanged", 0, [], id="both versions are still there"),
        pytest.param(
            situation([OTHER_V1], [V1], runs={}), "changed", 11, ["AM3001 v1 had another graph"], id="two graphs"
        ),
        pytest.param(
            situation([OTHER_V1], [V1, OTHER_V1], runs={}),
            "unchanged",
            11,
            ["AM3001 v1 had another graph"],
            id="two graphs, of which `amends dev` has stored both",
        ),
        pytest.param(
            situation([V1], [V1, V2], runs={}), "changed", 11, ["APP is older than what is deployed"], id="going back"
        ),
        pytest.param(
            situation([V2], [V1], runs={graph_hash(V1): 1}, lacks=LACKS),
            "changed",
            11,
            ["AM3002 1 open run of v1 would wait"],
            id="a handler is missing",
        ),
        pytest.param(
            situation([V2], [V1], runs={}, lacks=LACKS),
            "changed",
            10,
            ["no run of v1 is open now; one that starts before"],
            id="a handler is missing, which nobody needs yet",
        ),
        pytest.param(
            situation([V2], [V1], lacks=LACKS),
            "changed",
            11,
            ["AM3002 runs of v1 that are open would wait"],
            id="a handler is missing, and no store was asked",
        ),
        pytest.param(
            situation([], [V1], runs={}),
            "removed",
            10,
            ["nobody reads it any more"],
            id="a saga is gone, no run is open",
        ),
        pytest.param(
            situation([], [V1], runs={graph_hash(V1): 2}, lacks=LACKS),
            "removed",
            11,
            ["no new run will start", "AM3002 2 open runs of v1 would wait"],
            id="a saga is gone with runs open",
        ),
        pytest.param(
            situation([], [], runs={"0" * 64: 1}, lacks={"its whole definition": "nobody has it"}),
            "removed",
            11,
            ["AM3002 1 open run of v1 would wait"],
            id="a run whose definition nobody has",
        ),
    ],
)
def test_a_deployment(found: Situation, change: str, code: int, says: list[str]) -> None:
    made = plan(found)
    (of_saga,) = made.sagas
    assert of_saga.saga == "order"
    assert (of_saga.change, EXIT_CODES[made.verdict]) == (change, code)
    told = [" ".join(filter(None, (each.code, each.says))) for each in of_saga.consequences]
    assert len(told) == len(says)
    assert [line for line, said in zip(told, says, strict=True) if said not in line] == []


def test_sagas_are_planned_by_name_and_the_worst_verdict_counts() -> None:
    other = replace(V1, name="a_first")
    made = plan(situation([V1, other], [OTHER_V1], runs={}))
    assert [(each.saga, each.verdict) for each in made.sagas] == [("a_first", "safe"), ("order", "person")]
    assert made.verdict == "person"


def test_a_saga_is_compared_with_what_is_deployed_under_its_own_name() -> None:
    newer = replace(V2, name="a_first", version=9)
    made = plan(situation([V1, newer], [V1, newer], runs={}))
    assert [(each.saga, each.change, each.consequences) for each in made.sagas] == [
        ("a_first", "unchanged", ()),
        ("order", "unchanged", ()),
    ]


def test_what_was_not_set_before_is_said_to_be_so() -> None:
    after = replace(V1, version=2, trigger=replace(V1.trigger, volatile=("at",), cloudevents_type="x"))
    (saga_plan,) = plan(situation([after], [V1], runs={})).sagas
    says = " ".join(each.says for each in saga_plan.consequences)
    assert "type x are accepted, and not set before" in says
    assert "without at, and was without empty" in says


def test_of_several_versions_the_highest_stored_last_is_what_is_deployed() -> None:
    (saga_plan,) = plan(situation([V2], [V2, V1], runs={})).sagas
    assert saga_plan.before == saga_plan.after


TRIGGER = V1.trigger


@pytest.mark.parametrize(
    ("after", "verdict", "says"),
    [
        pytest.param(replace(TRIGGER, topic="new"), "person", "nobody reads orders any more", id="topic"),
        pytest.param(replace(TRIGGER, idempotency_key="number"), "person", "runs twice", id="idempotency key"),
        pytest.param(replace(TRIGGER, volatile=("at",)), "person", "may be a conflict", id="volatile"),
        pytest.param(replace(TRIGGER, cloudevents_type="x"), "person", "events of type x", id="CloudEvents type"),
        pytest.param(replace(TRIGGER, size_bytes_max=9), "person", "more than 9 bytes", id="smaller records"),
        pytest.param(replace(TRIGGER, size_bytes_max=2_000_000), "safe", "up to 2000000 bytes", id="larger records"),
        pytest.param(replace(TRIGGER, business_key="number"), "safe", "outcomes of new runs", id="business key"),
        pytest.param(replace(TRIGGER, dedup_for_ms=1), "safe", "another time", id="dedup_for"),
        pytest.param(replace(TRIGGER, model="Commande"), "safe", "is called Commande", id="model's name"),
    ],
)
def test_a_changed_trigger(after: TriggerForm, verdict: str, says: str) -> None:
    made = plan(situation([replace(V2, trigger=after)], [V1], runs={}))
    (found,) = made.sagas[0].consequences
    assert found.verdict == verdict == made.verdict
    assert says in found.says


def test_every_field_of_a_trigger_has_its_meaning_and_one_that_is_not_known_is_for_a_person() -> None:
    made = plan(situation([replace(V2, trigger=replace(TRIGGER, topic="new"))], [V1], runs={}))
    (change,) = [each for each in made.sagas[0].changes if each.what == "trigger"]
    for name in TRIGGER.__struct_fields__:
        (found,) = consequences(stored(V1), stored(V2), [replace(change, field=name, before=1, after=2)], {})
        assert "the trigger's" not in found.says or name == "model", name
    (found,) = consequences(stored(V1), stored(V2), [replace(change, field="brand_new")], {})
    assert (found.verdict, found.says) == ("person", "the trigger's brand_new was orders and is new")


@pytest.mark.parametrize(
    ("schema", "verdict"),
    [
        pytest.param(b'{"type":"object","properties":{"order":{"type":"string"}}}', "safe", id="reads more"),
        pytest.param(b'{"type":"object","required":["order","why"]}', "person", id="requires more"),
    ],
)
def test_a_changed_schema_of_the_trigger(schema: bytes, verdict: str) -> None:
    made = planned(
        Situation(
            today=[stored(V1, schema)],
            deployed=[Deployed(hash=graph_hash(V1), stored=stored(V1), stored_at=1)],
            open_runs=[],
            saga_of={},
            lacks=lambda _digest: {},
        ),
        app="",
        against="",
    )
    assert (made.sagas[0].change, made.verdict) == ("changed", verdict)


def test_another_saga_that_reads_the_old_topic_is_named() -> None:
    moved = replace(V2, trigger=replace(TRIGGER, topic="new"))
    made = plan(situation([moved, replace(V1, name="other")], [V1, replace(V1, name="other")], runs={}))
    (found,) = next(each for each in made.sagas if each.saga == "order").consequences
    assert "only other will read orders" in found.says


def test_a_changed_graph_is_advised_to_take_a_version_that_nobody_has() -> None:
    third = replace(V2, version=3)
    for found in (situation([OTHER_V1], [V1, V2], runs={}), situation([OTHER_V1, V2], [V1], runs={})):
        (saga,) = plan(found).sagas
        assert [each.do for each in saga.consequences if each.code == "AM3001"] == [
            "give the changed graph a new version, for instance version=3"
        ]
    (saga,) = plan(situation([OTHER_V1, third], [V1, V2], runs={})).sagas
    assert any("version=4" in (each.do or "") for each in saga.consequences)
