"""Pages of the documentation, cut into their fenced blocks."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.(?:py|toml|jsonl))\n")


class Block(NamedTuple):
    """A fenced block. `file` is what its first line names: `# sagas.py`."""

    language: str
    text: str
    file: str | None


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's blocks in order, of these languages only."""
    return [
        Block(language=language, text=text, file=named[1] if (named := _FILE.match(text)) else None)
        for language, text in _FENCE.findall(page.read_text(encoding="utf-8"))
        if not languages or language in languages
    ]


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows whole, as they are at its end."""
    return {block.file: block.text for block in blocks(page) if block.file is not None}
