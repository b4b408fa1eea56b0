"""Words and symbols that the story, the lists and the live view share."""

import re
import unicodedata
from typing import Final

STATUS_SYMBOLS: Final = {
    "queued": "○",
    "running": "▸",
    "waiting": "⏸",
    "compensating": "↩",
    "parked": "‖",
    "completed": "✔",
    "compensated": "↩",
    "killed": "■",
    "quarantined": "!",
}
UNDONE: Final = {
    "readback": "undone, verified",
    "lookup": "undone, verified by lookup",
    "reply": "undone, by the participant's reply alone",
    "person": "done by hand",
}
"""What it means that an undo is done, by its evidence."""
WITHDRAWN: Final = "⊘"
"""The mark of a request that was taken back before anything was done for it: it has not failed."""
PLACE_WIDTH: Final = 30
_SUFFIX: Final = re.compile(r"(_id|_key|_number|_no|Id|Key|Number|No)$")


def label_of(path: str | None, default: str) -> str:
    """What a key names, from its path in the trigger: `order_id` is an order, `customer.accountNo` an account."""
    if path is None:
        return default
    last = _SUFFIX.sub("", path.rpartition(".")[2]) or default
    return last.replace("_", " ")


def padded(text: str, width: int, *, gap: int = 0) -> str:
    """The text and so many spaces, at least `gap`, that what follows stands in a column of a story."""
    return text + " " * max(gap, width - cells_at_most(text))


def cells(text: str) -> int:
    """Columns of a terminal: two for a wide character, none for one that is put upon another."""
    return sum(_width(character, "WF") for character in text)


def cells_at_most(text: str) -> int:
    """The same; what Unicode calls ambiguous, an arrow for instance, counts as wide."""
    return sum(_width(character, "WFA") for character in text)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 attempt`, `3 attempts`."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def _width(character: str, wide: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in wide else 1
