"""Colors of a picture, on light and on dark paper. Nothing is said by color alone.

Every rule begins with the picture's own class, so that a page which holds the picture keeps its own looks.
"""

from typing import Final

_FONT: Final = "12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

_RULES: Final = {
    "text": f"font: {_FONT}; text-anchor: middle; fill: #1f2328",
    "text.name": "font-weight: 700",
    "text.title": "font-size: 17px; font-weight: 700; text-anchor: start",
    "text.quiet": "text-anchor: start; fill: #59636e",
    ".paper": "fill: #ffffff",
    "path, .amends-saga rect": "stroke-width: 1.4",
    ".trigger rect": "fill: #f6f8fa; stroke: #59636e",
    ".acts rect": "fill: #f6f8fa; stroke: #1f2328",
    ".reads rect": "fill: #ffffff; stroke: #59636e",
    ".pivot path": "fill: #ddf4ff; stroke: #0550ae",
    ".undo path": "fill: #fff8c5; stroke: #7d4e00; stroke-dasharray: 5 3",
    ".frame rect": "fill: none; stroke: #818b98; stroke-dasharray: 2 3",
    "path.inner": "fill: none; stroke: #1f2328",
    ".pivot path.inner": "fill: none",
    "path.order": "fill: none; stroke: #59636e",
    "path.undo": "fill: none; stroke: #9a6700; stroke-dasharray: 5 3",
    "circle.order": "fill: #59636e",
    "circle.undo": "fill: #9a6700",
    "path.beside": "fill: none; stroke: #9a6700; stroke-dasharray: 1 3",
    "path.order.head": "fill: #59636e; stroke: none",
    "path.undo.head": "fill: #ffffff; stroke: #9a6700; stroke-dasharray: none",
}
_DARK: Final = {
    "text": "fill: #e6edf3",
    "text.quiet": "fill: #9198a1",
    ".paper": "fill: #0d1117",
    ".trigger rect": "fill: #151b23; stroke: #9198a1",
    ".acts rect": "fill: #212830; stroke: #d1d7e0",
    ".reads rect": "fill: #0d1117; stroke: #9198a1",
    ".pivot path": "fill: #0c2d6b; stroke: #79c0ff",
    ".undo path": "fill: #3b2300; stroke: #e3b341",
    ".frame rect": "stroke: #656c76",
    "path.inner": "stroke: #d1d7e0",
    "path.order": "stroke: #9198a1",
    "path.undo": "stroke: #d29922",
    "circle.order": "fill: #9198a1",
    "circle.undo": "fill: #d29922",
    "path.beside": "stroke: #d29922",
    "path.order.head": "fill: #9198a1",
    "path.undo.head": "fill: #0d1117; stroke: #d29922",
}


def _sheet(rules: dict[str, str]) -> str:
    return "\n".join(f".amends-saga {selector} {{ {said} }}" for selector, said in rules.items())


STYLE: Final = f"\n{_sheet(_RULES)}\n@media (prefers-color-scheme: dark) {{\n{_sheet(_DARK)}\n}}\n"
