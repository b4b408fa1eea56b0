"""How the demo speaks: numbered scenes, calm lines, everything computed from what has just happened."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

SYMBOLS = {"completed": "✔", "compensated": "↩", "parked": "‖", "killed": "■"}
Facts = Mapping[str, Any]


class Teller:
    """Prints as things happen."""

    def __init__(self) -> None:
        self._scenes = 0
        self._blank = True

    def scene(self, title: str) -> None:
        self._scenes += 1
        self.say("", f"{self._scenes}. {title}")

    def say(self, *lines: str) -> None:
        """Print lines, never two empty ones in a row."""
        for line in lines:
            if line or not self._blank:
                sys.stdout.write(f"{line}\n")
            self._blank = not line
        sys.stdout.flush()

    def tell(self, *lines: str) -> None:
        """Within a scene."""
        self.say(*(f"   {line}".rstrip() for line in lines))

    def command(self, command: str) -> None:
        self.tell(f"$ {command}")

    def text(self, text: str) -> None:
        """What a command printed."""
        self.tell(*text.rstrip("\n").splitlines(), "")


def run_line(outcome: Facts) -> str:
    """One run in one line, by its outcome record."""
    status = outcome["status"]
    head = f"{outcome['business_key']}  {SYMBOLS.get(status, '?')} {status:<11}  {_lasted(outcome):>6}  "
    if status == "completed":
        return head + f"paid {outcome['result']['paid']}, {outcome['result']['payment_id']}"
    failure, undone, left = outcome["failure"], outcome["undone"], outcome["exposure"]
    said = [f"{failure['step']}: {failure['kind']}: {failure['message'].removeprefix(failure['step'] + ': ')}"]
    if undone:
        by = {"readback": "read back", "reply": "by the reply"}
        steps = [f"{each['step']} ({by.get(each['verified_by'], each['verified_by'])})" for each in undone]
        said.append(f"undone: {', '.join(steps)}")
    if left:
        said.append("left: " + ", ".join(each["step"] for each in left))
    return head + "; ".join(said)


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
