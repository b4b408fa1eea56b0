"""An external copy of signed heads: lines as `amends topics tail amends.checkpoints -o jsonl` prints them."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from amends.coordinator.evidence import faults
from amends.schemas import strict_json
from amends.schemas.signed_head import SignedHead, read
from amends.schemas.signing import NoKey, PublicKey
from amends.schemas.undecodable import Undecodable

LINE_BYTES_MAX: Final = 64 * 1024
STDIN: Final = "-"
KEY_BYTES_MAX: Final = 64 * 1024


class BadLine(Undecodable):
    """A line that is no signed head, with its number."""


def heads_in(lines: Iterable[bytes]) -> Iterator[SignedHead | BadLine]:
    """Each line's signed head: bare, or as `topics tail` prints a record. Empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield read(_bare(strict_json.decode(line)))
        except Undecodable as error:
            yield BadLine(f"line {number}: {error}")


def lines_of(name: str) -> Iterator[bytes]:
    """A file's lines, or stdin's where the name is `-`. Raises `UsageError` (AM3012)."""
    try:
        if name == STDIN:
            yield from _bounded(name, iter(lambda: sys.stdin.buffer.readline(LINE_BYTES_MAX + 1), b""))
            return
        with Path(name).open("rb") as file:
            yield from _bounded(name, iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""))
    except OSError as error:
        raise faults.no_heads(name, error.strerror or str(error)) from error


def public_key(text: str) -> PublicKey:
    """The key that a person names: the line itself, or a file with it. Raises `UsageError` (AM3011)."""
    if text.startswith("ed25519:"):
        return _read(text, text)
    try:
        with Path(text).open("rb") as file:
            content = file.read(KEY_BYTES_MAX).decode()
    except OSError as error:
        raise faults.no_public_key(text, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise faults.no_public_key(text, "it is no text") from error
    return _read(text, content)


def _read(name: str, text: str) -> PublicKey:
    try:
        return PublicKey.read(text)
    except NoKey as error:
        raise faults.no_public_key(name, str(error)) from None


def _bounded(name: str, lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if len(line) > LINE_BYTES_MAX:
            raise faults.no_heads(name, f"a line is longer than {LINE_BYTES_MAX} bytes")
        yield line


def _bare(value: object) -> object:
    """What is inside a record as `topics tail` prints it."""
    if isinstance(value, dict) and "data" in value and "topic" in value:
        return value["data"]
    return value
