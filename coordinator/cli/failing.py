"""How a command ends: what went wrong as one line, and the exit code (contract, section 2)."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Final

import typer
from typer import exceptions

from amends.coordinator.errors import AmendsError

UNEXPECTED: Final = 70
INTERRUPTED: Final = 130
USAGE: Final = 2
_GUESS: Final = re.compile(r"\.? Did you mean (.+)\?$")


class TimedOut(AmendsError):
    """A wait that the caller bounded is over."""

    exit_code = 5


def guarded(run: Callable[[], int]) -> int:
    """Run a command line to its end; nothing leaves as a traceback unless AMENDS_LOG=debug asks for it."""
    try:
        return _flushed(run())
    except exceptions.TyperException as error:
        return _say(_usage(error), USAGE)
    except AmendsError as error:
        _trace()
        return _say(error.line(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _silence()
        return 0
    except Exception as error:  # noqa: BLE001  the edge: whatever it is, it becomes one line
        return _unexpected(error)


def _unexpected(error: BaseException) -> int:
    inner = _single(error)
    if isinstance(inner, AmendsError):
        _trace()
        return _say(inner.line(), inner.exit_code)
    if isinstance(inner, KeyboardInterrupt):
        return INTERRUPTED
    _trace()
    if isinstance(inner, UnicodeEncodeError) and inner.encoding == "utf-8":  # Only what the shell handed over is so.
        what = f"{inner.object[:80]!a} is no text in UTF-8"
        return _say(f"error AM5005: {what}; write it in UTF-8", USAGE)
    what = " ".join(f"{type(inner).__name__}: {inner}".split())
    return _say(f"error AM0000: unexpected: {what}; run it with AMENDS_LOG=debug and report what it shows", UNEXPECTED)


def _single(error: BaseException) -> BaseException:
    """The one error in a group of a single one."""
    while isinstance(error, BaseExceptionGroup):
        ours = [each for each in error.exceptions if isinstance(each, AmendsError)]
        if len(error.exceptions) != 1 and not ours:
            return error
        error = ours[0] if ours else error.exceptions[0]
    return error


def _usage(error: exceptions.TyperException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".") or "no command is given"
    message = _GUESS.sub(r" (did you mean \1?)", _with_value(message, error.__cause__))
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "amends"
    return f"error AM5004: {message[:1].lower()}{message[1:]}; see: {path} --help"


def _with_value(message: str, cause: BaseException | None) -> str:
    """Typer tells what pydantic says of a value, and not the value."""
    from pydantic import ValidationError

    if not isinstance(cause, ValidationError):
        return message
    found = cause.errors(include_url=False)[0]
    if found["type"] == "value_error":  # typer's own words, which have it
        return message.replace(": Value error, ", ": ")
    said = found["msg"].partition(", unable to")[0].replace("Input should be", "it must be")
    hint = message.removesuffix(f": {found['msg']}").replace("Invalid value for", "")
    return f"Invalid value {found['input']!r} for{hint}: {said}"


def _say(line: str, code: int) -> int:
    from amends.coordinator.cli.harmless import harmless
    from amends.coordinator.redaction import redact

    _silence_if_closed()
    print(harmless(redact(line), sys.stderr), file=sys.stderr)  # noqa: T201  the one place errors are printed
    return code


def _trace() -> None:
    from amends.coordinator.cli.logs import debugging

    if debugging():
        traceback.print_exc()


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def _silence() -> None:
    """Nobody reads on: do not complain about it at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _silence_if_closed() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
