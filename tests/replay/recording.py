"""Golden histories as files; `python -m tests.replay.recording` writes what is missing, with names, those again.

A history is for ever: the code that folds it changes, it does not. If what is decided changes on purpose, record the
new course under a new name (a story in `stories.py`) and leave the old file; only a format never released is rewritten.

    histories/NAME.jsonl               the entries, exactly as the store holds them, one a line
    histories/NAME.state.json          the state they fold to, in canonical JSON
    histories/definitions/HASH.json    a definition that runs are pinned to, in canonical JSON
"""

import sys
from pathlib import Path
from typing import Final

from amends.schemas.entry import decode
from tests.replay.stories import STORIES, History, history_of

FOLDER: Final = Path(__file__).parent / "histories"
DEFINITIONS: Final = FOLDER / "definitions"


def recorded() -> list[str]:
    """The names of all recorded histories."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def read(name: str) -> History:
    """A recorded history."""
    lines = (FOLDER / f"{name}.jsonl").read_bytes().splitlines()
    return History(
        entries=tuple(lines),
        definition=(DEFINITIONS / f"{decode(lines[0]).definition_hash}.json").read_bytes().rstrip(b"\n"),
        state=(FOLDER / f"{name}.state.json").read_bytes().rstrip(b"\n"),
    )


def write(name: str, history: History) -> None:
    """Record a history."""
    DEFINITIONS.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.jsonl").write_bytes(b"".join(entry + b"\n" for entry in history.entries))
    (DEFINITIONS / f"{decode(history.entries[0]).definition_hash}.json").write_bytes(history.definition + b"\n")
    (FOLDER / f"{name}.state.json").write_bytes(history.state + b"\n")


def main(names: list[str]) -> None:
    for name in names or [name for name in STORIES if name not in recorded()]:
        write(name, history_of(STORIES[name]()))
        print(f"recorded {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
