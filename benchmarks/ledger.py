"""A ledger that the steps write themselves: the only proof that all of them ran. Nothing of Amends is imported here."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

STEPS = ("a", "b", "c")


class Ledger:
    """One line for each step performed, appended by whichever process performs it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def performed(self, key: str, step: str) -> None:
        os.write(self._file, f"{key} {step}\n".encode())


def faults(path: Path, keys: Iterable[str]) -> list[str]:
    """What is missing from the ledger, or stands there twice; nothing if every step of every run ran once."""
    performed = Counter(path.read_text().splitlines())
    wanted = Counter(f"{key} {step}" for key in keys for step in STEPS)
    missing, surplus = wanted - performed, performed - wanted
    return [
        f"{count} x {line}: {what}"
        for what, lines in (("missing", missing), ("surplus", surplus))
        for line, count in lines.items()
    ]
