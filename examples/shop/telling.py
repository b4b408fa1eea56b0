"""How the demo speaks: numbered scenes, calm lines, everything computed from what has just happened."""

import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from amends.coordinator.cli.output import cells, status_text, toned

Facts = Mapping[str, Any]
INDENT: Final = "   "
WIDTH_MAX: Final = 100
WIDTH_MIN: Final = 60
STATUS_WIDTH: Final = len("↩ compensated")
BY: Final = {"readback": "read back", "reply": "by the reply"}
_WHO: Final = re.compile(r"(?:stock|payments|mail): ")
_GAP: Final = re.compile(r" {2,}(?=\S)")


class Teller:
    """Prints as things happen, in lines that no terminal of 100 columns cuts off."""

    def __init__(self) -> None:
        self._scenes = 0
        self._blank = True
        self._width = max(WIDTH_MIN, min(WIDTH_MAX, shutil.get_terminal_size((WIDTH_MAX, 0)).columns))

    def scene(self, title: str) -> None:
        self._scenes += 1
        self.say("", toned("bold", f"{self._scenes}. {title}"), "")

    def say(self, *lines: str) -> None:
        """Print lines, never two empty ones in a row."""
        for line in lines:
            if line or not self._blank:
                sys.stdout.write("\n".join(folded(line, self._width)) + "\n")
            self._blank = not line
        sys.stdout.flush()

    def tell(self, *lines: str) -> None:
        """Within a scene."""
        self.say(*(f"{INDENT}{line}".rstrip() for line in lines))

    def command(self, command: str) -> None:
        """A command line; a long one goes on behind a backslash, so that it can be copied."""
        lines = ["$"]
        for part in command.split(" --"):
            option = f" --{part}" if lines[-1] != "$" else f" {part}"
            if len(INDENT + lines[-1] + option) > self._width - len(" \\"):
                lines[-1] += " \\"
                lines.append(" " * 8)
            lines[-1] += option
        self.tell(*(toned("dim", line) for line in lines))

    def commands(self, commands: Sequence[tuple[str, str]]) -> None:
        """Commands to copy, each with what it shows: beside it, or above where the line would get too long."""
        longest = max(len(command) for command, _ in commands)
        lines = [f"{command:<{longest}}  # {about}" for command, about in commands]
        if any(len(INDENT + line) > self._width for line in lines):
            lines = [line for command, about in commands for line in (f"# {about}", command)]
        for line in lines:
            sys.stdout.write(f"{INDENT}{line}\n")
        sys.stdout.flush()

    def text(self, text: str) -> None:
        """What a command printed."""
        self.tell(*text.rstrip("\n").splitlines(), "")


def folded(line: str, width: int) -> list[str]:
    """Break a line that is too long between words; what does not fit goes on below its last column."""
    if cells(line) <= width:
        return [line]
    begin = max((gap.end() for gap in _GAP.finditer(line) if gap.end() <= width * 3 // 4), default=0)
    first, *more = _wrapped(line[begin:], width - begin)
    return [line[:begin] + first, *(" " * begin + rest for rest in more)]


def run_lines(outcome: Facts) -> list[str]:
    """One run by its outcome record: what came of it, and below that what was undone or is left."""
    status = status_text(outcome["status"])
    status += " " * (STATUS_WIDTH - cells(status))
    head = f"{outcome['business_key']}  {status}  {_lasted(outcome):>6}  "
    if outcome["status"] == "completed":
        return [head + f"paid {outcome['result']['paid']}, {outcome['result']['payment_id']}"]
    failure, undone, left = outcome["failure"], outcome["undone"], outcome["exposure"]
    said = [f"{failure['step']} {failure['kind']}: {_WHO.sub('', failure['message'], count=1)}"]
    if undone:
        steps = [f"{each['step']} ({BY.get(each['verified_by'], each['verified_by'])})" for each in undone]
        said.append(f"undone: {', then '.join(steps)}")
    if left:
        said.append(f"left in the world: {listed([each['step'] for each in left])}")
    indent = " " * cells(head)
    return [head + said[0], *(indent + line for line in said[1:])]


def letter_line(letter: Facts, about: str) -> str:
    """One dead letter in one line."""
    where = f" at {letter['path']}" if letter["path"] else ""
    return f"dead letter {letter['n']}  {about:<7} {letter['reason']}{where}: {letter['detail']}"


def counted(number: int, thing: str, things: str | None = None) -> str:
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _lasted(outcome: Facts) -> str:
    begun, ended = (datetime.fromisoformat(outcome[name]) for name in ("started_at", "ended_at"))
    return f"{(ended - begun).total_seconds():.2f} s"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
