"""What goes to stdout: JSON documents, JSON lines, or text in columns. Nothing else ever does.

Text is calm: symbols and words say everything, color only repeats it, and only on a terminal.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, TextIO, TypeVar

from amends.coordinator.cli.call import Call, Output
from amends.coordinator.cli.harmless import harmless
from amends.coordinator.reading import words
from amends.coordinator.reading.folding import folded

T = TypeVar("T")
Keys = dict[str, Any]

WIDTH: Final = 80
"""Of text that is folded, also where it is read later."""

_CUT_MIN: Final = 8
_FOLD_MIN: Final = 24
_BELOW: Final = "    "
_STYLES: Final = {"good": "\x1b[32m", "bad": "\x1b[31m", "warn": "\x1b[33m", "dim": "\x1b[2m", "bold": "\x1b[1m"}
_PLAIN: Final = "\x1b[0m"

_TONES: Final = {
    "completed": "good",
    "compensated": "warn",
    "compensating": "warn",
    "parked": "bad",
    "killed": "bad",
    "quarantined": "bad",
}


def show_list(call: Call, items: Iterable[Keys], text: Callable[[list[Keys]], str]) -> None:
    """Print a list: one array, an object a line, or the text that `text` makes of it. JSON is printed as it comes."""
    if call.output is Output.jsonl:
        for item in items:
            write_line(encoded(item))
    elif call.output is Output.json:
        _write_array(map(encoded, items))
    else:
        write(text(list(items)))


def show(call: Call, item: Keys, text: Callable[[], str]) -> None:
    """Print one document."""
    if call.text:
        write(text())
    else:
        write_line(encoded(item))


def encoded(value: object) -> bytes:
    """Compact JSON with the keys in the order they were given."""
    import msgspec

    return msgspec.json.encode(value)


def _write_array(items: Iterable[bytes]) -> None:
    """Print one document, an item at a time; nothing of it if there is not even a first item to be had."""
    separator = b"["
    for item in items:
        sys.stdout.buffer.write(separator + item)
        separator = b","
    write_line(b"[]" if separator == b"[" else b"]")


def write_line(data: bytes) -> None:
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


def write(text: str) -> None:
    """Print text for people; one line break at the end."""
    if not text:
        return
    from amends.coordinator.redaction import redact

    shown = harmless(redact(text).rstrip("\n"), sys.stdout)
    sys.stdout.buffer.write((shown + "\n").encode(errors="backslashreplace"))
    sys.stdout.buffer.flush()


def readable(data: bytes) -> str:
    """Text; bytes that are none as `base64:…`."""
    import base64

    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return "base64:" + base64.b64encode(data).decode() if "\0" in text else text


def note(text: str) -> None:
    """Print progress and remarks, on stderr."""
    from amends.coordinator.redaction import redact

    text = harmless(redact(text), sys.stderr)
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the one place remarks are printed


def room(stream: TextIO) -> int | None:
    """Columns of the terminal that the stream goes to; None where it goes elsewhere: programs want whole lines."""
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (OSError, ValueError):
        return WIDTH


def columns(
    rows: Sequence[Sequence[str]],
    *,
    heads: Sequence[str] = (),
    indent: str = "",
    gap: str = "  ",
    cut: Collection[int] = (),
    spare: int | None = None,
    fold: bool = False,
) -> str:
    """Aligned columns; the last one is as long as it likes.

    On a terminal that is too narrow for them those in `cut` are cut, which may be where the whole can be looked up,
    then `spare` is left out; and with `fold` the last one goes on below itself.
    """
    lines = [heads, *rows] if heads else list(rows)
    if not lines:
        return ""
    width = room(sys.stdout)
    widths = [max(cells(row[at]) for row in lines) for at in range(len(lines[0]))]
    if width is not None:
        wanted = list(widths)
        if fold:
            wanted[-1] = min(wanted[-1], _FOLD_MIN)
        left = width - len(indent) - len(gap) * (len(widths) - 1)
        if spare is not None and not _narrow(list(wanted), cut, left):
            kept = [at for at in range(len(widths)) if at != spare]
            lines = [[row[at] for at in kept] for row in lines]
            wanted, widths = [wanted[at] for at in kept], [widths[at] for at in kept]
            cut, left = {at - (at > spare) for at in cut}, left + len(gap)
        _narrow(wanted, cut, left)
        widths = [wanted[at] if at in cut else size for at, size in enumerate(widths)]
        lines = [[_cut(cell, widths[at]) if at in cut else cell for at, cell in enumerate(row)] for row in lines]
    shown: list[str] = []
    for row in lines:
        *before, last = (_padded(cell, size) for cell, size in zip(row, widths, strict=True))
        start = indent + "".join(cell + gap for cell in before)
        shown += hung(last.rstrip(), start, width if fold else None)
    if heads:
        shown[0] = toned("dim", shown[0].rstrip())
    return "\n".join(line.rstrip() for line in shown)


def hung(text: str, start: str, width: int | None) -> list[str]:
    """The text after `start`, in lines that fit: below where it began, or where that is too narrow below the whole."""
    before = cells(start)
    if not text or width is None or before + cells(text) <= width:
        return [start + text]
    if width - before >= max(_FOLD_MIN, *map(cells, text.split())):
        first, *more = folded(text, first="", rest="", width=width - before)
        return [start + first, *(" " * before + each for each in more)]
    return [start.rstrip(), *folded(text, first=_BELOW, rest=_BELOW, width=width)]


def cells(text: str) -> int:
    """Columns that a terminal gives this text; escape sequences take none, wide and ambiguous characters two."""
    plain = text
    for style in (*_STYLES.values(), _PLAIN):
        plain = plain.replace(style, "")
    return words.cells(plain)


def status_text(status: str) -> str:
    """A run's status as symbol and word."""
    return toned(_TONES.get(status, ""), f"{words.STATUS_SYMBOLS.get(status, '?')} {status}")


def toned(tone: str, text: str) -> str:
    """Color on a terminal, plain elsewhere or where NO_COLOR is set."""
    if not tone or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"{_STYLES[tone]}{text}{_PLAIN}"


def shortened(saga_id: str) -> str:
    """Enough of an id to name the run."""
    return saga_id[:13]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def _narrow(widths: list[int], cut: Collection[int], width: int) -> bool:
    """Take from the widest of these columns until all of them fit; False if none can be cut any more before."""
    while sum(widths) > width:
        widest = max(cut, key=lambda at: widths[at], default=None)
        if widest is None or widths[widest] <= _CUT_MIN:
            return False
        widths[widest] -= 1
    return True


def _cut(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    kept = text
    while cells(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"
