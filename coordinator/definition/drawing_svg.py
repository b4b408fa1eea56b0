"""A definition as an SVG picture, without script and without a font from elsewhere.

It is readable in light and dark, in black and white, and by who cannot see it: what it shows stands in its description
too, and in the title of each box.
"""

import re
from collections.abc import Iterable
from html import escape
from typing import Final

from amends.coordinator.definition.card import start_of
from amends.coordinator.definition.durations import text_of_ms
from amends.coordinator.definition.flattening import flattened
from amends.coordinator.definition.form import DefinitionForm, StepForm
from amends.coordinator.definition.layout import Route
from amends.coordinator.definition.picture import (
    LETTER,
    LINE_HEIGHT,
    ORDER,
    UNDO,
    Frame,
    Joint,
    Picture,
    Rectangle,
    StepPlaced,
    cells,
    picture_of,
)
from amends.coordinator.definition.svg_style import STYLE

MARGIN: Final = 24
HEAD: Final = 58
FOOT: Final = 44
WIDTH_MIN: Final = 640
_CORNER: Final = 12
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_LEGEND: Final = (
    (ORDER, "order of the steps"),
    (UNDO, "order of the undos, when a run turns back"),
)


def as_svg(form: DefinitionForm) -> str:
    """The whole document."""
    form = flattened(form)
    picture = picture_of(form)
    width = max(picture.width, WIDTH_MIN, _wide(_subtitle(form))) + 2 * MARGIN
    height = picture.height + HEAD + FOOT + 2 * MARGIN
    name = _NOT_A_NAME.sub("-", f"amends-{form.name}-v{form.version}")
    shift = MARGIN + (width - 2 * MARGIN - picture.width) // 2
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="amends-saga" role="graphics-document" lang="en"',
        f' aria-labelledby="{name}-title" aria-describedby="{name}-desc"',
        f' viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<title id="{name}-title">{_text(_title(form))}</title>',
        f'<desc id="{name}-desc">{_text(_description(form, picture))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 18}">{_text(_title(form))}</text>',
        f'<text class="quiet" x="{MARGIN}" y="{MARGIN + 40}">{_text(_subtitle(form))}</text>',
        f'<g transform="translate({shift},{MARGIN + HEAD})">',
        *map(_frame, picture.frames),
        *_lines(picture.routes),
        *map(_joint, picture.joints),
        _trigger(picture),
        *map(_step, picture.steps),
        "</g>",
        _legend(MARGIN, height - MARGIN),
        "</svg>",
    ]
    return "\n".join(each for each in parts if each) + "\n"


def _title(form: DefinitionForm) -> str:
    return f"Saga {form.name} v{form.version}"


def _subtitle(form: DefinitionForm) -> str:
    pivot = next((step.path for step in form.steps if step.pivot), None)
    said = f"deadline {text_of_ms(form.deadline_ms)}"
    return f"{said} · once {pivot} is done, nothing is undone" if pivot else said


def _description(form: DefinitionForm, picture: Picture) -> str:
    """Everything the picture shows, in the order of the definition."""
    says = {each.step.path: each.card for each in picture.steps}
    lines = [f"{_title(form)} {start_of(form)}; {_subtitle(form)}."]
    for step in form.steps:
        card = says[step.path]
        lines.append("; ".join(each for each in (card.says, card.undo_says) if each) + ".")
    lines.append("Undos run in reverse order, one at a time.")
    return "\n".join(lines)


def _trigger(picture: Picture) -> str:
    at = picture.trigger_at
    if at is None:
        return ""
    shape = f'<rect class="trigger" {_place(at)} rx="{at.height // 2}"/>'
    return _group("trigger", ", ".join(picture.trigger_lines), shape, _words(at, picture.trigger_lines))


def _step(placed: StepPlaced) -> str:
    step, at = placed.step, placed.at
    kind = "pivot" if step.pivot else "acts" if step.acts else "reads"
    parts = [_group(f"step {kind}", placed.card.says, *_shape(step, at), _words(at, placed.card.step))]
    if placed.undo_at is not None:
        side, y = placed.undo_at, at.y + LINE_HEIGHT
        parts.append(f'<path class="beside" d="M{at.x + at.width} {y}H{side.x}"/>')
        cut = _cut(side)
        parts.append(_group("undo", placed.card.undo_says, f'<path d="{cut}"/>', _words(side, placed.card.undo)))
    return "\n".join(parts)


def _shape(step: StepForm, at: Rectangle) -> Iterable[str]:
    """A hexagon, twice outlined, is the pivot; double sides are irreversible; round corners change nothing."""
    if step.pivot:
        yield f'<path d="{_hexagon(at, 0)}"/>'
        yield f'<path class="inner" d="{_hexagon(at, 4)}"/>'
        return
    yield f'<rect {_place(at)} rx="{2 if step.acts else 16}"/>'
    if step.irreversible:
        left, right = at.x + 6, at.x + at.width - 6
        yield f'<path class="inner" d="M{left} {at.y}v{at.height}M{right} {at.y}v{at.height}"/>'


def _hexagon(at: Rectangle, inset: int) -> str:
    left, right, top, bottom = at.x + inset, at.x + at.width - inset, at.y + inset, at.y + at.height - inset
    middle, corner = at.y + at.height // 2, _CORNER
    over = f"M{left} {middle}L{left + corner} {top}H{right - corner}L{right} {middle}"
    return f"{over}L{right - corner} {bottom}H{left + corner}Z"


def _cut(at: Rectangle) -> str:
    """A card with its upper left corner cut off."""
    right, bottom = at.x + at.width, at.y + at.height
    return f"M{at.x + _CORNER} {at.y}H{right}V{bottom}H{at.x}V{at.y + _CORNER}Z"


def _frame(frame: Frame) -> str:
    at, name = frame.at, frame.name.rpartition("/")[2]
    label = f'<text class="quiet" x="{at.x + 12}" y="{at.y + 17}">{_text(name)}</text>'
    return _group("frame", f"steps of {frame.name}", f'<rect {_place(at)} rx="8"/>', label)


def _group(kind: str, says: str, *parts: str) -> str:
    return f'<g class="{kind}" role="img"><title>{_text(says)}</title>{"".join(parts)}</g>'


def _words(at: Rectangle, lines: Iterable[str]) -> str:
    shown = list(lines)
    x = at.x + at.width // 2
    y = at.y + (at.height - len(shown) * LINE_HEIGHT) // 2 + 13
    return "".join(
        f'<text{"" if number else " class=" + chr(34) + "name" + chr(34)} x="{x}" y="{y + number * LINE_HEIGHT}">'
        f"{_text(line)}</text>"
        for number, line in enumerate(shown)
    )


def _lines(routes: Iterable[Route]) -> Iterable[str]:
    """All lines of a kind as one path, and all their heads: who cannot see them has them in words."""
    found = list(routes)
    for kind in (ORDER, UNDO):
        own = [each for each in found if each.kind == kind]
        if own:
            yield f'<path class="{kind}" aria-hidden="true" d="{"".join(map(_line, own))}"/>'
            heads = "".join(filter(None, map(_head, own)))
            yield f'<path class="{kind} head" aria-hidden="true" d="{heads}"/>'


def _joint(joint: Joint) -> str:
    at, half = joint.at, joint.at.width // 2
    return f'<circle class="{joint.kind}" aria-hidden="true" cx="{at.x + half}" cy="{at.y + half}" r="{half}"/>'


def _line(route: Route) -> str:
    middle = (route.bend_from + route.bend_to) // 2
    straight = f"M{route.x_from} {route.y_from}" + (f"V{route.bend_from}" if route.bend_from > route.y_from else "")
    if route.x_from == route.x_to:
        return f"{straight}V{route.bend_to}"
    return f"{straight}C{route.x_from} {middle} {route.x_to} {middle} {route.x_to} {route.bend_to}"


def _head(route: Route) -> str:
    """A line of order has its head below, one of undoing above."""
    if route.kind == ORDER:
        return f"M{route.x_to} {route.bend_to}l-4 -9h8Z" if route.ends else ""
    return f"M{route.x_from} {route.y_from}l-4 9h8Z" if route.starts else ""


def _legend(x: int, y: int) -> str:
    parts = []
    for kind, words in _LEGEND:
        parts.append(f'<path class="{kind}" aria-hidden="true" d="M{x} {y - 4}h34"/>')
        head = f"M{x + 34} {y - 4}l-9 -4v8Z"
        parts.append(f'<path class="{kind} head" aria-hidden="true" d="{head}"/>')
        parts.append(f'<text class="quiet" x="{x + 42}" y="{y}">{words}</text>')
        x += 42 + _wide(words) + MARGIN
    return "".join(parts)


def _place(at: Rectangle) -> str:
    return f'x="{at.x}" y="{at.y}" width="{at.width}" height="{at.height}"'


def _wide(text: str) -> int:
    return int(cells(text) * LETTER)


def _text(text: str) -> str:
    """Text as XML can hold it: what no document may contain becomes a question mark in a diamond."""
    return escape(_NOT_XML.sub("\ufffd", text), quote=True)
