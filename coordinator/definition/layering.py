"""Boxes in layers, by what waits for what, in an order with few crossings (Sugiyama's method, with barycenters).

A link that passes a layer has a place of its own in it, so that no line needs to run through a box. Links to one end,
or from one start, share their places on the way: three hundred of them are one line until they part.
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from amends.coordinator.definition.edges import Edge

WIDEST: Final = 4
"""Boxes beside each other: more go below, as a picture is scrolled downwards."""
_SWEEPS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What connects two boxes: an edge and its kind. Lines of different kinds never share a place."""

    edge: Edge
    kind: str


@dataclass(frozen=True, slots=True)
class Place:
    """A box (`line` is empty), or where the lines of one bundle pass a layer."""

    box: str
    line: str
    layer: int


Link = tuple[Place, Place, str]
"""From a place to one in the next layer, and the kind of line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What stands in each layer, from left to right, and what connects neighboring layers."""

    places: list[list[Place]]
    links: list[list[Link]]
    """By the layer that they start in; each once, though several lines may share it."""


def layered(boxes: Sequence[str], lines: Sequence[Line], *, widest: int = WIDEST) -> Layers:
    """Put boxes into layers. Every line leads from an earlier box in `boxes` to a later one."""
    layer_of = _layers(boxes, lines, widest)
    count = max(layer_of.values(), default=-1) + 1
    drawing = _Ordering(places=[[] for _ in range(count)], links=[{} for _ in range(count)])
    for box in boxes:
        drawing.places[layer_of[box]].append(Place(box, "", layer_of[box]))
    for line, bundle in _bundled(lines):
        drawing.add(line, bundle, layer_of)
    drawing.sort()
    return Layers(places=drawing.places, links=[list(links) for links in drawing.links])


def _layers(boxes: Sequence[str], lines: Sequence[Line], widest: int) -> dict[str, int]:
    """As high as what comes before allows, and as there is room."""
    before: dict[str, list[str]] = {box: [] for box in boxes}
    for line in lines:
        before[line.edge[1]].append(line.edge[0])
    found: dict[str, int] = {}
    taken: Counter[int] = Counter()
    for box in boxes:
        layer = max((found[each] + 1 for each in before[box]), default=0)
        while taken[layer] >= widest:
            layer += 1
        found[box] = layer
        taken[layer] += 1
    return found


def _bundled(lines: Sequence[Line]) -> list[tuple[Line, str]]:
    """Each line with the bundle it goes in: that of its end if more lines end there than start where it starts."""
    leaving = Counter((line.kind, line.edge[0]) for line in lines)
    arriving = Counter((line.kind, line.edge[1]) for line in lines)
    found = []
    for line in lines:
        start, end = line.edge
        to_end = arriving[line.kind, end] > leaving[line.kind, start]
        found.append((line, f"{line.kind} to {end}" if to_end else f"{line.kind} from {start}"))
    return found


@dataclass(slots=True, kw_only=True)
class _Ordering:
    places: list[list[Place]]
    links: list[dict[Link, None]]
    _above: dict[Place, list[Place]] = field(default_factory=dict)
    _below: dict[Place, list[Place]] = field(default_factory=dict)
    _known: set[Place] = field(default_factory=set)

    def add(self, line: Line, bundle: str, layer_of: dict[str, int]) -> None:
        start, end = line.edge
        first, last = layer_of[start], layer_of[end]
        upper = Place(start, "", first)
        for layer in range(first + 1, last + 1):
            lower = Place(end, "", last) if layer == last else Place("", bundle, layer)
            if lower.line and lower not in self._known:
                self._known.add(lower)
                self.places[layer].append(lower)
            self.links[layer - 1][upper, lower, line.kind] = None
            upper = lower

    def sort(self) -> None:
        """Sweep down and up, keep the best order that was seen."""
        for links in self.links:
            for upper, lower, _ in links:
                self._below.setdefault(upper, []).append(lower)
                self._above.setdefault(lower, []).append(upper)
        best, fewest = self.places, self._crossings(self.places)
        places = self.places
        for sweep in range(_SWEEPS):
            if fewest == 0:
                break
            places = self._swept(places, down=sweep % 2 == 0)
            crossings = self._crossings(places)
            if crossings < fewest:
                best, fewest = places, crossings
        self.places = best

    def _swept(self, places: list[list[Place]], *, down: bool) -> list[list[Place]]:
        found = [list(layer) for layer in places]
        neighbors = self._above if down else self._below
        order = range(1, len(found)) if down else range(len(found) - 2, -1, -1)
        for layer in order:
            fixed = {place: at for at, place in enumerate(found[layer - 1 if down else layer + 1])}
            scale = len(fixed) / max(1, len(found[layer]))
            wanted = {
                place: sum(fixed[each] for each in near) / len(near) if (near := neighbors.get(place)) else at * scale
                for at, place in enumerate(found[layer])
            }
            found[layer].sort(key=wanted.__getitem__)
        return found

    def _crossings(self, places: list[list[Place]]) -> int:
        return sum(
            _inversions(links, upper, lower)
            for links, upper, lower in zip(self.links, places, places[1:], strict=False)
        )


def _inversions(links: dict[Link, None], upper: list[Place], lower: list[Place]) -> int:
    first = {place: at for at, place in enumerate(upper)}
    second = {place: at for at, place in enumerate(lower)}
    seen: list[int] = []
    count = 0
    for _, end in sorted((first[start], second[end]) for start, end, _ in links):
        count += len(seen) - bisect_right(seen, end)
        insort(seen, end)
    return count
