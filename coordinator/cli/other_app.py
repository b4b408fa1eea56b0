"""The definitions of another APP, loaded by a process of its own: two versions of one module are never in one.

Run as a program, this is that process: it writes a line for each definition, or one for the error that it ends with.
"""

import os
import subprocess
import sys
from typing import Final

import msgspec

from amends.coordinator.definition.form import StoredDefinition, read_stored
from amends.coordinator.errors import AmendsError, UsageError

WITHIN_S: Final = 60
_EXPECTED: Final = b"error "


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    what: str
    do: str


def definitions_of(app: str) -> list[StoredDefinition]:
    """Load an APP elsewhere. Raises `UsageError` with what is wrong with it, or AM5062 if its process ends badly."""
    command = [sys.executable, "-P", "-m", "amends.coordinator.cli.other_app", app]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=WITHIN_S)  # noqa: S603  ourselves
    except subprocess.TimeoutExpired:
        raise _failed(app, f"it is still loading after {WITHIN_S} s") from None
    if done.stdout.startswith(_EXPECTED):
        said = msgspec.json.decode(done.stdout.removeprefix(_EXPECTED), type=_Said)
        raise UsageError(said.code, said.what, do=said.do)
    if done.returncode:
        raise _failed(app, f"its process ended with {done.returncode}")
    return [read_stored(line) for line in done.stdout.splitlines()]


def _failed(app: str, why: str) -> UsageError:
    return UsageError("AM5062", f"APP {app!r} cannot be compared with: {why}", do="see that `amends check` loads it")


def main() -> None:
    """Write to what stdout was; what the app prints while it is imported goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    from amends.coordinator.definition.loading import load_app
    from amends.schemas.canonical import encode

    try:
        said = b"".join(encode(saga.stored) + b"\n" for saga in load_app(sys.argv[1]).sagas)
    except AmendsError as error:
        said = _EXPECTED + msgspec.json.encode(_Said(code=error.code, what=error.what, do=error.do))
    with os.fdopen(answer, "wb") as out:
        out.write(said)


if __name__ == "__main__":
    main()
