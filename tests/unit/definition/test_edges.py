import pytest

from amends.coordinator.definition.edges import Edge, forward_edges, in_order, undo_edges, with_joints
from tests.simulation.definitions import action, read, saga


def test_an_edge_that_others_imply_is_not_drawn() -> None:
    form = saga(action("a", ()), action("b", ("a",)), action("c", ("a", "b")), read("d", ("a",)))
    assert forward_edges(form) == (("a", "b"), ("b", "c"), ("a", "d"))


def test_undos_follow_each_other_in_reverse_past_steps_that_have_none() -> None:
    form = saga(action("a", ()), read("b", ("a",)), action("c", ("b",)), action("d", ("a",)))
    assert undo_edges(form) == (("c", "a"), ("d", "a"))


def test_undos_of_steps_that_do_not_wait_for_each_other_have_no_edge() -> None:
    assert undo_edges(saga(action("a", ()), action("b", ()))) == ()


@pytest.mark.parametrize(
    ("nodes", "edges", "expected"),
    [
        pytest.param("abc", ["ca"], ["b", "c", "a"], id="each comes after those with an edge to it"),
        pytest.param("abc", [], ["a", "b", "c"], id="otherwise the order is as given"),
        pytest.param("ab", ["ab", "ba"], None, id="a circle has no order"),
    ],
)
def test_nodes_in_order(nodes: str, edges: list[str], expected: list[str] | None) -> None:
    assert in_order(list(nodes), [(each[0], each[1]) for each in edges]) == expected


def test_several_that_wait_for_the_same_several_meet_in_a_joint() -> None:
    starts, ends = "abc", "xyz"
    edges: list[Edge] = [(start, end) for end in ends for start in starts]
    drawn, joints = with_joints([*edges, ("a", "v"), ("v", "w")], "joint ")
    assert joints == ["joint 0"]
    assert sorted(drawn) == sorted(
        [(start, "joint 0") for start in starts] + [("joint 0", end) for end in ends] + [("a", "v"), ("v", "w")]
    )
