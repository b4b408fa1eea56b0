"""A definition as boxes and lines on paper: what each box says, and where it stands. Pure, and without any format.

A step stands beside its undo. Lines of order lead downwards from step to step, lines of undoing upwards from undo to
undo. Steps whose paths share a beginning (`ship/reserve`, `ship/load`) stand in a frame of that name.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from amends.coordinator.definition.card import Card, card_of, trigger_lines
from amends.coordinator.definition.edges import Edge, forward_edges, in_order, undo_edges, with_joints
from amends.coordinator.definition.form import DefinitionForm, StepForm
from amends.coordinator.definition.layering import Line
from amends.coordinator.definition.layout import Box, Route, laid_out

ORDER: Final = "order"
UNDO: Final = "undo"
LETTER: Final = 7.25
"""Pixels of a letter at 12 px in the fonts that a picture asks for, of which all letters are equally wide."""
LINE_HEIGHT: Final = 17
PADDING: Final = 11
SIDE: Final = 20
BESIDE: Final = 26
"""Between a step and its undo."""
FRAME: Final = 18
FRAME_TITLE: Final = 24
JOINT: Final = 10
_TRIGGER: Final = "\0trigger"
_JOINT: Final = "\0joint of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """Where something stands, in whole pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> int:
        """From left to right."""
        return self.x + self.width // 2

    def moved(self, x: int, y: int) -> "Rectangle":
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlaced:
    """A step and its undo, if it has one."""

    step: StepForm
    card: Card
    at: Rectangle
    undo_at: Rectangle | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Around the steps of one group, for instance an included saga."""

    name: str
    at: Rectangle


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Where lines of a kind meet: everything below waits for everything above, or is undone before it."""

    kind: str
    at: Rectangle


@dataclass(slots=True, kw_only=True)
class Picture:
    """Everything placed, from 0, 0."""

    trigger_lines: tuple[str, ...] = ()
    trigger_at: Rectangle | None = None
    steps: list[StepPlaced] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    joints: list[Joint] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    width: int = 0
    height: int = 0


def picture_of(form: DefinitionForm) -> Picture:
    """Place everything. Frames are left out where steps of several groups wait for each other in a circle."""
    drawing = _Drawing(form)
    return drawing.drawn(framed=True) or drawing.drawn(framed=False) or Picture()


def cells(text: str) -> int:
    """Letters wide; what East Asian fonts draw wide counts twice."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _size(lines: Sequence[str]) -> tuple[int, int]:
    return int(max(map(cells, lines)) * LETTER) + 2 * SIDE, len(lines) * LINE_HEIGHT + 2 * PADDING


class _Drawing:
    def __init__(self, form: DefinitionForm) -> None:
        self.forward = forward_edges(form)
        self.undos = tuple((earlier, later) for later, earlier in undo_edges(form))
        self.steps = {step.path: step for step in form.steps}
        self.cards = {step.path: card_of(step) for step in form.steps}
        self.trigger_lines = trigger_lines(form)
        self.step_width = max((_size(card.step)[0] for card in self.cards.values()), default=0)
        self.undo_width = max((_size(card.undo)[0] for card in self.cards.values() if card.undo), default=0)

    def drawn(self, *, framed: bool) -> Picture | None:
        """The whole, or None where frames make a circle."""
        groups = groups_of(self.steps, framed=framed)
        picture = self._placed("", groups)
        if picture is not None:
            picture.trigger_lines = self.trigger_lines
        return picture

    def _placed(self, group: str, groups: dict[str, list[str]]) -> Picture | None:
        """The members of a group, framed groups among them, with what is in those."""
        inner: dict[str, Picture] = {}
        for member in groups[group]:
            if member in groups:
                found = self._placed(member, groups)
                if found is None:
                    return None
                inner[member] = found
        forward = list(_between(self.forward, group, groups))
        undos = list(_between(self.undos, group, groups))
        members = groups[group]
        if group == "":
            followers = {end for _, end in forward}
            forward += [(_TRIGGER, each) for each in members if each not in followers]
            members = [_TRIGGER, *members]
        forward, joints = with_joints(forward, f"{_JOINT}{ORDER}")
        undos, undo_joints = with_joints(undos, f"{_JOINT}{UNDO}")
        ordered = in_order([*members, *joints, *undo_joints], [*forward, *undos])
        if ordered is None:
            return None
        boxes = {each: self._frame(inner[each]) if each in inner else self._box(each) for each in ordered}
        lines = [Line(edge=edge, kind=ORDER) for edge in forward] + [Line(edge=edge, kind=UNDO) for edge in undos]
        return self._together(boxes, lines, inner)

    def _together(self, boxes: dict[str, Box], lines: list[Line], inner: dict[str, Picture]) -> Picture:
        layout = laid_out(boxes, lines)
        picture = Picture(width=layout.width, height=layout.height, routes=list(layout.routes))
        for name, (x, y) in layout.at.items():
            box = boxes[name]
            here = Rectangle(x=x, y=y, width=box.width, height=box.height)
            if name == _TRIGGER:
                picture.trigger_at = here
            elif name.startswith(_JOINT):
                picture.joints.append(Joint(kind=UNDO if UNDO in name else ORDER, at=here))
            elif name in inner:
                picture.frames.append(Frame(name=name.rstrip("/"), at=here))
                _add(picture, inner[name], x + FRAME, y + FRAME_TITLE)
            else:
                picture.steps.append(self._step(name, here))
        return picture

    def _step(self, path: str, here: Rectangle) -> StepPlaced:
        card = self.cards[path]
        at = replace(here, width=self.step_width, height=_size(card.step)[1])
        undo_at = None
        if card.undo:
            x = here.x + self.step_width + BESIDE
            undo_at = Rectangle(x=x, y=here.y, width=self.undo_width, height=_size(card.undo)[1])
        return StepPlaced(step=self.steps[path], card=card, at=at, undo_at=undo_at)

    def _box(self, path: str) -> Box:
        if path.startswith(_JOINT):
            return Box(width=JOINT, height=JOINT, ports={ORDER: JOINT // 2, UNDO: JOINT // 2}, joint=True)
        if path == _TRIGGER:
            width, height = _size(self.trigger_lines)
            return Box(width=width, height=height, ports={ORDER: width // 2})
        card = self.cards[path]
        ports, height = {ORDER: self.step_width // 2}, _size(card.step)[1]
        if not card.undo:
            return Box(width=self.step_width, height=height, ports=ports)
        undo_height = _size(card.undo)[1]
        return Box(
            width=self.step_width + BESIDE + self.undo_width,
            height=max(height, undo_height),
            ports=ports | {UNDO: self.step_width + BESIDE + self.undo_width // 2},
            bottoms={ORDER: height, UNDO: undo_height},
        )

    @staticmethod
    def _frame(inner: Picture) -> Box:
        """Lines reach it above the first of its steps, and above the first of their undos."""
        width, height = inner.width + 2 * FRAME, inner.height + FRAME_TITLE + FRAME
        first = min(inner.steps, key=lambda each: each.at.y).at
        undos = [each.undo_at for each in inner.steps if each.undo_at is not None]
        undo = min(undos, key=lambda each: each.y, default=first)
        return Box(width=width, height=height, ports={ORDER: FRAME + first.middle, UNDO: FRAME + undo.middle})


def groups_of(paths: Iterable[str], *, framed: bool = True) -> dict[str, list[str]]:
    """Members by group: steps by path, groups by path and a slash. The outermost is ""."""
    groups: dict[str, list[str]] = {"": []}
    names = list(paths)
    prefixes = {path[: at + 1] for path in names for at, sign in enumerate(path) if sign == "/"} if framed else set()
    for path in names:
        group = ""
        parts = path.split("/")
        for at in range(1, len(parts) + 1):
            inner = "/".join(parts[:at]) + "/"
            if inner not in prefixes:
                break
            if inner not in groups:
                groups[inner] = []
                groups[group].append(inner)
            group = inner
        groups[group].append(path)
    return groups


def _between(edges: Iterable[Edge], group: str, groups: dict[str, list[str]]) -> Iterator[Edge]:
    """The edges between members of a group, each once; what a framed group holds counts as that group."""
    holder: dict[str, str] = {}
    for member in groups[group]:
        for path in _within(member, groups):
            holder[path] = member
    lifted = ((holder[start], holder[end]) for start, end in edges if start in holder and end in holder)
    yield from dict.fromkeys((start, end) for start, end in lifted if start != end)


def _within(member: str, groups: dict[str, list[str]]) -> Iterator[str]:
    if member not in groups:
        yield member
        return
    for each in groups[member]:
        yield from _within(each, groups)


def _add(picture: Picture, inner: Picture, x: int, y: int) -> None:
    for each in inner.steps:
        undo_at = each.undo_at.moved(x, y) if each.undo_at else None
        picture.steps.append(replace(each, at=each.at.moved(x, y), undo_at=undo_at))
    picture.frames += [replace(each, at=each.at.moved(x, y)) for each in inner.frames]
    picture.joints += [replace(each, at=each.at.moved(x, y)) for each in inner.joints]
    picture.routes += [each.moved(x, y) for each in inner.routes]
