"""The layout as a property: whatever the graph, boxes stand apart and lines run between them."""

from itertools import combinations
from random import Random

import pytest

from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.definition.layering import WIDEST, Line, Place, layered
from amends.coordinator.definition.layout import Route
from amends.coordinator.definition.picture import Picture, Rectangle, picture_of
from tests.simulation.definitions import action, pivot, read, retriable, saga

STEPS_MAX = 300
GROUPS = ("", "", "", "ship/", "bill/", "bill/late/")


def random_graph(seed: int) -> DefinitionForm:
    """Up to 300 steps, more or less connected, some in groups, some with an undo."""
    random = Random(seed)
    count = random.choice((1, 2, 5, 12, 40, 120, STEPS_MAX))
    most, near = random.choice((0, 1, 2, 4, 9)), random.choice((3, 20, STEPS_MAX))
    grouped = random.random() < 0.5
    paths: list[str] = []
    steps = []
    for number in range(count):
        path = f"{random.choice(GROUPS) if grouped else ''}step_{number}"
        befores = paths[-near:]
        after = tuple(sorted(random.sample(befores, min(len(befores), random.randint(0, most)))))
        steps.append(action(path, after) if random.random() < 0.6 else read(path, after))
        paths.append(path)
    return saga(*steps)


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def boxes_of(picture: Picture) -> list[Rectangle]:
    undos = [each.undo_at for each in picture.steps if each.undo_at is not None]
    assert picture.trigger_at is not None
    return [picture.trigger_at, *(each.at for each in picture.steps), *undos, *(each.at for each in picture.joints)]


def stretches(route: Route) -> list[Rectangle]:
    """What a route covers: the way straight down, and the band in which it bends."""
    left, right = sorted((route.x_from, route.x_to))
    down = Rectangle(x=route.x_from, y=route.y_from, width=1, height=route.bend_from - route.y_from)
    bend = Rectangle(x=left, y=route.bend_from, width=right - left + 1, height=route.bend_to - route.bend_from)
    return [down, bend]


@pytest.mark.parametrize("seed", range(24))
def test_boxes_stand_apart_and_frames_hold_what_is_theirs(seed: int) -> None:
    form = random_graph(seed)
    picture = picture_of(form)
    assert sorted(each.step.path for each in picture.steps) == sorted(step.path for step in form.steps)
    boxes = boxes_of(picture)
    rows = sorted(boxes, key=lambda box: box.y)
    assert [(one, other) for one, other in combinations(rows, 2) if overlap(one, other)] == []
    paper = Rectangle(x=0, y=0, width=picture.width, height=picture.height)
    assert all(_holds(paper, box) for box in boxes)
    for frame in picture.frames:
        for each in picture.steps:
            inside = each.step.path.startswith(f"{frame.name}/")
            assert _holds(frame.at, each.at) if inside else not overlap(frame.at, each.at)


@pytest.mark.parametrize("seed", range(24))
def test_no_line_runs_through_a_box(seed: int) -> None:
    picture = picture_of(random_graph(seed))
    boxes = boxes_of(picture)
    through = [
        (route, box)
        for route in picture.routes
        for stretch in stretches(route)
        for box in boxes
        if overlap(stretch, box)
    ]
    assert through == []


def _holds(outer: Rectangle, inner: Rectangle) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def test_every_step_stands_below_those_it_waits_for() -> None:
    form = random_graph(5)
    at = {each.step.path: each.at.y for each in picture_of(form).steps}
    assert [(before, step.path) for step in form.steps for before in step.after if at[before] >= at[step.path]] == []


def test_a_chain_is_one_straight_column() -> None:
    steps = [action(f"s{n}", (f"s{n - 1}",) if n else ()) for n in range(12)]
    picture = picture_of(saga(*steps))
    assert {each.at.x for each in picture.steps} == {picture.steps[0].at.x}
    assert all(route.x_from == route.x_to for route in picture.routes)


def test_no_layer_is_wider_than_a_page() -> None:
    layers = layered([str(n) for n in range(50)], [])
    assert [len(row) for row in layers.places] == [WIDEST] * 12 + [2]


def test_boxes_change_places_where_that_uncrosses_their_lines() -> None:
    lines = [Line(edge=("a", "y"), kind=""), Line(edge=("b", "x"), kind="")]
    places = layered(["a", "b", "x", "y"], lines).places
    upper, lower = ([place.box for place in row] for row in places)
    assert [{"a": "y", "b": "x"}[each] for each in upper] == lower


def test_lines_to_one_end_pass_a_layer_in_one_place() -> None:
    boxes = [f"s{n}" for n in range(WIDEST)] + ["m", "end"]
    lines = [Line(edge=(f"s{n}", "end"), kind="") for n in range(WIDEST)]
    lines += [Line(edge=("s0", "m"), kind=""), Line(edge=("m", "end"), kind="")]
    (passing,) = [place for place in layered(boxes, lines).places[1] if place.line]
    assert passing == Place("", " to end", 1)


def test_steps_with_a_common_beginning_stand_in_a_frame() -> None:
    form = saga(action("a", ()), action("ship/b", ("a",)), pivot("ship/c", ("ship/b",)), retriable("d", ("ship/c",)))
    (frame,) = picture_of(form).frames
    assert frame.name == "ship"


def test_groups_that_wait_for_each_other_have_no_frames() -> None:
    form = saga(read("x/a", ()), read("y/b", ("x/a",)), read("x/c", ("y/b",)))
    picture = picture_of(form)
    assert picture.frames == []
    assert len(picture.steps) == 3
