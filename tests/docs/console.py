"""Plays a page: writes the files it shows, runs its commands, and holds what they print against what it says.

What differs from run to run (times, durations, hashes, ports) is not compared. A line `…` stands for any lines.
"""

import atexit
import json
import os
import re
import select
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from tests.docs.pages import ROOT, blocks

COMMAND_WITHIN_S = 60
_NONE: Mapping[str, str] = MappingProxyType({})
FOLDER = "/srv/shop"
"""What the folder of a reader is called in the pages."""

_SHELL = re.compile(r"[|&;<>$*\n]")
_SLOW = '"event": "handler_blocks_its_loop"'
"""A machine that is busy with something else says so; it is no part of what a page shows."""
_LOOSE = (
    (re.compile(r"\d{4}-\d\d-\d\d(?=[ T])"), "DATE"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?Z?"), "TIME"),
    (re.compile(r"(?<=until )DATE (?=TIME)"), ""),  # said only where it is another day than today
    (re.compile(r"\b\d+(\.\d+)? (ms|s|min)\b"), "DURATION"),
    (re.compile(r"\b[0-9a-f]{64}\b|(?:\b|(?<=_))[0-9a-f]{12}\b(?!-)"), "HASH"),
    (re.compile(r"\b\d+ bytes"), "SIZE"),
    (re.compile(r"\bpid \d+|\(\d+\)"), "PID"),
    (re.compile(r"[ \t]+"), " "),
)


def play(
    page: Path, folder: Path, *, settings: Mapping[str, str] = _NONE, stand_ins: Mapping[str, str] = _NONE
) -> list[str]:
    """Every command of the page whose output is not what the page says, with both.

    `settings` are exported before; `stand_ins` are what the page says in place of values of this run.
    """
    wrong = []
    for block in blocks(page):
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command, said in commands_of(block.text):
                outputs = outputs_of(command, folder, settings, {str(folder.resolve()): FOLDER, **stand_ins})
                if not any(alike(said, printed) for printed in outputs):
                    wrong.append(f"$ {command}\n--- says\n{said}\n--- prints\n{outputs[0]}")
    return wrong


def commands_of(text: str) -> list[tuple[str, str]]:
    """Commands with the output that is shown below them. A command goes on where a line ends in a backslash."""
    found: list[tuple[str, list[str]]] = []
    open_command = False
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif open_command:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        else:
            found[-1][1].append(line)
        open_command = line.endswith("\\") and (line.startswith("$ ") or open_command)
    return [(command, "\n".join(lines)) for command, lines in found]


def outputs_of(
    command: str, folder: Path, settings: Mapping[str, str], stand_ins: Mapping[str, str]
) -> tuple[str, str]:
    """What a shell prints, with nothing of this machine's settings: both streams, in either order."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{given.get('PATH', '')}"
    environment = {**given, **settings, "PATH": path, "AMENDS_LOG": "warning", "COLUMNS": "200"}
    plain = command.startswith("amends ") and not _SHELL.search(command)
    run = _hosted if plain else _in_a_shell
    out, error = (_anywhere(each, stand_ins) for each in run(command, folder, environment))
    return f"{out}\n{error}", f"{error}\n{out}"


def _in_a_shell(command: str, folder: Path, environment: dict[str, str]) -> tuple[str, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )
    return done.stdout, done.stderr


def _hosted(command: str, folder: Path, environment: dict[str, str]) -> tuple[str, str]:
    """The same for a command of ours alone, without the time that its imports take."""
    host = _host()
    assert host.stdin is not None
    assert host.stdout is not None
    with tempfile.TemporaryDirectory() as files:
        out, error = Path(files, "out"), Path(files, "error")
        asked = {
            "arguments": shlex.split(command)[1:],
            "folder": str(folder),
            "environment": environment,
            "out": str(out),
            "error": str(error),
        }
        host.stdin.write(json.dumps(asked) + "\n")
        host.stdin.flush()
        assert select.select([host.stdout], [], [], COMMAND_WITHIN_S)[0], f"it does not end: {command}"
        host.stdout.readline()
        return out.read_text(), error.read_text()


@cache
def _host() -> subprocess.Popen[str]:
    host = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.host"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_end, host)
    return host


def _end(host: subprocess.Popen[str]) -> None:
    host.communicate()


def _anywhere(text: str, stand_ins: Mapping[str, str]) -> str:
    for value, stand_in in stand_ins.items():
        text = text.replace(value, stand_in)
    return text


def alike(said: str, printed: str) -> bool:
    """Whether the output is the one shown, but for what differs each time."""
    return re.fullmatch(_pattern(_loosened(said)), _loosened(printed)) is not None


def _loosened(text: str) -> str:
    for pattern, stand_in in _LOOSE:
        text = pattern.sub(stand_in, text)
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip() and _SLOW not in line)


def _pattern(said: str) -> str:
    """A regular expression in which the line `…` is any number of lines."""
    return "".join(r"(?:.*\n)*?" if line == "…\n" else re.escape(line) for line in said.splitlines(keepends=True))
