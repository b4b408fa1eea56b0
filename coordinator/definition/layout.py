"""Where boxes stand and lines run. Pure: sizes and edges go in, whole pixels come out.

Lines bend only between layers, where no box stands, and pass a layer straight down in a place of their own: none runs
through a box that is not one of its ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from amends.coordinator.definition.layering import WIDEST, Layers, Line, Link, Place, layered

GAP_X: Final = 28
GAP_Y: Final = 44
LINE_GAP: Final = 14
_PASSES: Final = 8
_STRAIGHT: Final = 4.0
"""How much more a passing line's wish to be straight counts than a box's."""
_HOMESICK: Final = 2
"""How many times more the middle counts for a full row than its neighbors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What is to be placed.

    `ports` says for each kind of line where it meets the box, from its left; `bottoms` where a line of the kind leaves
    it, from its top, if that is not its lower edge. Lines run on through a `joint`.
    """

    width: int
    height: int
    ports: Mapping[str, int]
    bottoms: Mapping[str, int] = field(default_factory=dict)
    joint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A line from one layer to the next: straight down to `bend_from`, a bend to `bend_to`, and there it is."""

    kind: str
    x_from: int
    y_from: int
    bend_from: int
    x_to: int
    bend_to: int
    starts: bool
    """Whether it starts at a box, and is not the rest of a longer line."""
    ends: bool
    """Whether it ends at a box."""

    def moved(self, x: int, y: int) -> "Route":
        return replace(
            self,
            x_from=self.x_from + x,
            y_from=self.y_from + y,
            bend_from=self.bend_from + y,
            x_to=self.x_to + x,
            bend_to=self.bend_to + y,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything is, from 0, 0."""

    at: dict[str, tuple[int, int]]
    routes: tuple[Route, ...]
    width: int
    height: int


def laid_out(boxes: Mapping[str, Box], lines: Sequence[Line]) -> Layout:
    """Place boxes, given in an order in which every line leads from an earlier one to a later one."""
    layers = layered(tuple(boxes), lines)
    left = _Columns(boxes, layers).placed()
    tops, bottoms = _rows(boxes, layers)
    at = {place.box: (left[place], tops[place.layer]) for row in layers.places for place in row if place.box}
    routes = []
    for layer, links in enumerate(layers.links):
        for upper, lower, kind in links:
            start = boxes[upper.box] if upper.box else None
            y_from = tops[layer] + (start.bottoms.get(kind, start.height) if start else 0)
            routes.append(
                Route(
                    kind=kind,
                    x_from=left[upper] + _port(boxes, upper, kind),
                    y_from=y_from,
                    bend_from=bottoms[layer],
                    x_to=left[lower] + _port(boxes, lower, kind),
                    bend_to=tops[layer + 1],
                    starts=start is not None and not start.joint,
                    ends=bool(lower.box) and not boxes[lower.box].joint,
                )
            )
    width = max((left[place] + _width(boxes, place) for row in layers.places for place in row), default=0)
    return Layout(at=at, routes=tuple(routes), width=width, height=bottoms[-1] if bottoms else 0)


def _rows(boxes: Mapping[str, Box], layers: Layers) -> tuple[list[int], list[int]]:
    tops, bottoms, y = [], [], 0
    for row in layers.places:
        tops.append(y)
        y += max((boxes[place.box].height for place in row if place.box), default=0)
        bottoms.append(y)
        y += GAP_Y
    return tops, bottoms


def _width(boxes: Mapping[str, Box], place: Place) -> int:
    return boxes[place.box].width if place.box else 0


def _port(boxes: Mapping[str, Box], place: Place, kind: str) -> int:
    return boxes[place.box].ports[kind] if place.box else 0


class _Columns:
    """Left edges: each place as near to below and above its neighbors as the order in its layer allows."""

    def __init__(self, boxes: Mapping[str, Box], layers: Layers) -> None:
        self.boxes = boxes
        self.rows = layers.places
        self._above: dict[Place, list[tuple[Place, int]]] = {}
        self._below: dict[Place, list[tuple[Place, int]]] = {}
        for links in layers.links:
            for link in links:
                self._connect(link)
        self._left: dict[Place, float] = {}
        self._home: dict[Place, float] = {}

    def _connect(self, link: Link) -> None:
        upper, lower, kind = link
        shift = _port(self.boxes, upper, kind) - _port(self.boxes, lower, kind)
        self._below.setdefault(upper, []).append((lower, -shift))
        self._above.setdefault(lower, []).append((upper, shift))

    def placed(self) -> dict[Place, int]:
        """Whole pixels, the leftmost at 0."""
        for row in self.rows:
            self._settle(row, [0.0] * len(row))
            if sum(bool(place.box) for place in row) >= WIDEST:
                middle = sum(self._left[place] + _width(self.boxes, place) / 2 for place in row) / len(row)
                self._home |= {place: self._left[place] - middle for place in row}
        for number in range(_PASSES):
            down = number % 2 == 0
            for row in self.rows if down else reversed(self.rows):
                self._settle(row, [self._wanted(place, down=down) for place in row])
        for row in self.rows:
            self._settle(row, [self._wanted(place, down=None) for place in row])
        least = min(self._left.values(), default=0.0)
        return {place: round(left - least) for place, left in self._left.items()}

    def _wanted(self, place: Place, *, down: bool | None) -> float:
        above, below = self._above.get(place, []), self._below.get(place, [])
        near = above + below if down is None else (above or below) if down else (below or above)
        wanted = [self._left[other] + shift for other, shift in near]
        if place in self._home:  # A full row stays in the middle: others go on below it, and would lead it astray.
            wanted += [self._home[place]] * (_HOMESICK * max(1, len(near)))
        return sum(wanted) / len(wanted) if wanted else self._left[place]

    def _settle(self, row: list[Place], wanted: list[float]) -> None:
        """The nearest to what is wanted, by weighted squares, that keeps order and gaps (pool adjacent violators)."""
        offsets, offset = [], 0.0
        for at, place in enumerate(row):
            offsets.append(offset)
            offset += _width(self.boxes, place) + self._gap(place, row[at + 1] if at + 1 < len(row) else place)
        blocks: list[tuple[float, float, int]] = []
        for place, want, shift in zip(row, wanted, offsets, strict=True):
            mean, weight, count = want - shift, 1.0 if place.box else _STRAIGHT, 1
            while blocks and blocks[-1][0] >= mean:
                other, more, before = blocks.pop()
                mean, weight, count = (mean * weight + other * more) / (weight + more), weight + more, count + before
            blocks.append((mean, weight, count))
        means = [mean for mean, _, count in blocks for _ in range(count)]
        for place, mean, shift in zip(row, means, offsets, strict=True):
            self._left[place] = mean + shift

    @staticmethod
    def _gap(place: Place, following: Place) -> int:
        return GAP_X if place.box and following.box else LINE_GAP
