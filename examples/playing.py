"""Plays a numbered example: its README told, each command of it run, in a folder that is gone afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

HERE = Path(__file__).parent
CANNOT_RUN = frozenset({70, 126, 127})
"""Exit codes of what could not even run: ours for the unexpected, the shell's for a command that is missing."""

_FENCE = re.compile(r"^```(\w*)$")
_FILE = re.compile(r"# (\w+\.(?:py|toml|jsonl))$")
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


def names() -> list[str]:
    """The folders of all numbered examples, in order."""
    return sorted(folder.name for folder in HERE.glob("[0-9]*_*") if (folder / "README.md").exists())


def named(name: str) -> Path | None:
    """The example of this name, of which the number or the rest is enough."""
    number = name.zfill(2) if name.isdecimal() else None
    found = [each for each in names() if name in {each, each.partition("_")[2]} or each.partition("_")[0] == number]
    return HERE / found[0] if found else None


def play(example: Path) -> int:
    """Tell the README and run its commands; 1 if one of them could not run. SIGTERM ends it as Ctrl-C does."""
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        codes = list(_played(example))
    finally:
        signal.signal(signal.SIGTERM, former)
    return 1 if any(code < 0 or code in CANNOT_RUN for code in codes) else 0


def _played(example: Path) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix=f"amends-{example.name}-") as folder:
        for file in example.iterdir():
            if file.is_file() and file.name != "README.md":
                shutil.copy(file, folder)
        for kind, text in parts((example / "README.md").read_text(encoding="utf-8")):
            if kind == "console":
                for command in commands(text):
                    yield _run(command, folder)
                _say("")
            elif written := _FILE.match(text.split("\n", 1)[0]):
                Path(folder, written[1]).write_text(text, encoding="utf-8")
                _say(text)
            else:
                _say(_LINK.sub(r"\1", text))


def parts(page: str) -> Iterator[tuple[str, str]]:
    """A page in order, as fenced blocks with their language, and what stands between them, with none."""
    language, lines = "", list[str]()
    for line in page.splitlines():
        if fence := _FENCE.match(line):
            yield language, "\n".join(lines)
            language, lines = fence[1], []
        else:
            lines.append(line)
    yield language, "\n".join(lines)


def commands(block: str) -> list[str]:
    """What stands behind each `$ `. A command goes on where a line ends in a backslash."""
    return [found[2:] for found in re.findall(r"^\$ (?:.*\\\n)*.*$", block, re.MULTILINE)]


def _run(command: str, folder: str) -> int:
    _say(f"$ {command}")
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # Also what the command runs beside itself: a shell that is ended leaves it behind.
            os.killpg(process.pid, signal.SIGTERM)
            raise


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """The embedded default: none of the settings of whoever looks at the example."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{given.get('PATH', '')}"
    kept = {name: value for name, value in given.items() if not name.startswith("AMENDS_")}
    return {"COLUMNS": "120", **kept, "PATH": path, "AMENDS_LOG": "warning"}


def _say(text: str) -> None:
    print(text, flush=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
