"""Two definitions compared: nothing that the form holds, today or one day, differs unseen."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from amends.coordinator.definition.comparing import IDENTITY, compared, compared_forms, compared_members, members
from amends.coordinator.definition.expression import Compare, Reference, Value
from amends.coordinator.definition.form import (
    Argument,
    BudgetForm,
    DefinitionForm,
    HandlerSchemas,
    StoredDefinition,
    graph_hash,
)
from tests.simulation.definitions import action, pivot, read, saga
from tests.unit.definition.shop import shop

WHEN = Compare(left=Reference(step=None, field="vip"), how="==", right=Value(value=1))


def rich() -> DefinitionForm:
    """A graph in which every part that a step can have is there."""
    steps = (action("a", (), when=WHEN, verify=True, lookup=True, key=True, window_ms=1_000), pivot("b", ("a",)))
    return replace(saga(*steps), budget=BudgetForm(usd="1.00", wall_ms=1, attempts=2, entries=3))


Way = tuple[str | int, ...]


def leaves(value: object, way: Way = ()) -> Iterator[Way]:
    """The way to each value that holds no others."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*way, name))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*way, at))
    else:
        yield way


FORM = members(rich())


@pytest.mark.parametrize("way", list(leaves(FORM)), ids=lambda way: ".".join(map(str, way)))
def test_every_field_of_a_definition_is_compared(way: Way) -> None:
    other = msgspec.json.decode(msgspec.json.encode(FORM))
    holder: Any = other
    for name in way[:-1]:
        holder = holder[name]
    holder[way[-1]] = "something else"
    changes = list(compared_members(copy.deepcopy(FORM), other))
    assert changes
    where = [str(each) for each in way[{"steps": 2, "trigger": 1}.get(str(way[0]), 0) :]]
    if way[-1] != "path":  # another path is another step
        (change,) = changes
        assert ".".join(where).startswith(change.field)
        assert change.field
        assert change.before != change.after


def test_only_what_says_which_definition_it_is_is_left_out() -> None:
    everything = msgspec.to_builtins(rich())
    assert everything.keys() - members(rich()).keys() == IDENTITY == {"name", "version"}
    assert {"form", "schemas", "trigger_schema", "topics"} == set(StoredDefinition.__struct_fields__)
    assert {"parameters", "result"} == set(HandlerSchemas.__struct_fields__)


def changes_of(before: DefinitionForm, after: DefinitionForm) -> list[tuple[str, str | None, str]]:
    return [(each.change, each.path, each.field) for each in compared_forms(before, after)]


A, B, C = action("a", ()), action("b", ("a",)), read("c", ("a",))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(saga(A, B), saga(A, B), [], id="the same"),
        pytest.param(saga(A), saga(A, B), [("added", "b", "")], id="a step more"),
        pytest.param(saga(A, B), saga(A), [("removed", "b", "")], id="a step less"),
        pytest.param(saga(A, B, C), saga(A, C, B), [("changed", None, "steps")], id="another order in the file"),
        pytest.param(
            saga(A, B), saga(A, action("b", ("a",), undo=False)), [("removed", "b", "undo")], id="an undo less"
        ),
        pytest.param(
            saga(A),
            saga(action("a", (), undo_attempts=7)),
            [("changed", "a", "undo.retry.attempts")],
            id="inside an undo",
        ),
        pytest.param(saga(A), saga(action("a", (), when=WHEN)), [("added", "a", "when")], id="a condition"),
        pytest.param(
            saga(action("a", (), when=WHEN)),
            saga(action("a", (), when=replace(WHEN, right=Value(value=True)))),
            [("changed", "a", "when")],
            id="true is no 1",
        ),
        pytest.param(
            saga(A), replace(saga(A), deadline_ms=1), [("changed", None, "deadline_ms")], id="of the whole saga"
        ),
        pytest.param(saga(A), replace(saga(A), version=9, name="other"), [], id="a version is no difference"),
    ],
)
def test_two_graphs(before: DefinitionForm, after: DefinitionForm, expected: list[tuple[str, str | None, str]]) -> None:
    assert changes_of(before, after) == expected
    assert (graph_hash(before) == graph_hash(replace(after, name=before.name, version=before.version))) == (
        not expected
    )


def test_a_parameter_may_have_the_name_of_a_member_of_the_form() -> None:
    given = {"source": Argument(source="trigger"), "op": Argument(source="trigger", field="op")}
    before = replace(A, handler=replace(A.handler, arguments=given))
    after = replace(A, handler=replace(A.handler, arguments={**given, "op": Argument(source="trigger")}))
    assert changes_of(saga(before), saga(after)) == [("changed", "a", "handler.arguments.op")]
    assert changes_of(saga(A), saga(before)) == [
        ("removed", "a", "handler.arguments.ctx"),
        ("removed", "a", "handler.arguments.trigger"),
        ("added", "a", "handler.arguments.source"),
        ("added", "a", "handler.arguments.op"),
    ]
    assert ("added", "a", "handler.arguments.trigger") in changes_of(saga(before), saga(A))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(("a", "b"), ("b", "a"), [], id="in another order"),
        pytest.param((), ("a",), [("added", None, ["a"])], id="a first one"),
        pytest.param(("a",), ("b", "a"), [("changed", ["a"], ["a", "b"])], id="another one"),
        pytest.param(("a",), (), [("removed", ["a"], None)], id="none any more"),
    ],
)
def test_topics_of_commands_are_compared(before: tuple[str, ...], after: tuple[str, ...], expected: list[Any]) -> None:
    stored = shop().close().stored
    changes = compared(replace(stored, topics=before), replace(stored, topics=after))
    assert [(each.change, each.before, each.after) for each in changes] == expected
    assert {(each.what, each.path, each.field) for each in changes} <= {("saga", None, "topics")}


def with_schema(stored: StoredDefinition, handler: str, **parameters: bytes) -> StoredDefinition:
    of_handler = stored.schemas[handler]
    changed = {**of_handler.parameters, **{name: msgspec.Raw(each) for name, each in parameters.items()}}
    return replace(stored, schemas={**stored.schemas, handler: replace(of_handler, parameters=changed)})


def test_what_handlers_read_is_compared_and_what_only_people_read_is_not() -> None:
    stored = shop().close().stored
    text = bytes(stored.schemas["assess"].parameters["trigger"])
    described = with_schema(stored, "assess", trigger=text.replace(b'"title":"Order"', b'"title":"An order"'))
    assert compared(stored, described) == ()
    (change,) = compared(stored, with_schema(stored, "assess", trigger=b'{"type":"string"}'))
    assert (change.what, change.path, change.field, change.after) == ("schema", "assess", "trigger", {"type": "string"})
    (added,) = compared(stored, with_schema(stored, "assess", more=b"{}"))
    assert (added.change, added.field, added.before) == ("added", "more", None)
    (removed,) = compared(with_schema(stored, "assess", more=b"{}"), stored)
    assert (removed.change, removed.field, removed.after) == ("removed", "more", None)
    bare = replace(stored, schemas={name: each for name, each in stored.schemas.items() if name != "assess"})
    assert compared(stored, bare) == (), "a handler that is gone goes with its step"
    (trigger,) = compared(stored, replace(stored, trigger_schema=msgspec.Raw(b"{}")))
    assert (trigger.what, trigger.field) == ("trigger", "schema")
