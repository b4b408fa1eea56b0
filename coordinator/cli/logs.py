"""Logging on stderr: text on a terminal, JSON lines otherwise; secrets taken out of both by value."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from amends.coordinator.cli.harmless import harmless
from amends.coordinator.redaction import redact

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS: Final = {"debug", "info", "warning", "error"}
_LOUD: Final = ("asyncio", "aiokafka")


def start_logging(flag: str | None) -> None:
    """Log from the level of the flag, else of AMENDS_LOG. `set_level` corrects it once amends.toml is read."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if sys.stderr.isatty() else _Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(flag or os.environ.get("AMENDS_LOG") or "info")


def set_level(name: str) -> None:
    """Ours from this level on; other libraries only warnings, unless everything is wanted."""
    level = name.lower() if name.lower() in _LEVELS else "info"
    logging.getLogger().setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("amends").setLevel(level.upper())
    for loud in _LOUD:
        logging.getLogger(loud).setLevel(logging.INFO if level == "debug" else logging.CRITICAL)


@contextmanager
def logging_kept() -> Iterator[None]:
    """Leave logging as it was before the block: for a command that is run inside a process which goes on."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {log: log.level for log in map(logging.getLogger, (None, "amends", *_LOUD))}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for log, level in levels.items():
            log.setLevel(level)


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return logging.getLogger("amends").isEnabledFor(logging.DEBUG)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "at": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(fields, default=str, ensure_ascii=False))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = "  ".join(f"{name}={_told(value)}" for name, value in _extra(record).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()} "
        line = f"{_moment(record):%H:%M:%S}  {level}{record.getMessage()}  {said}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return harmless(redact(line), sys.stderr)


def _told(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    """The fields given with `extra=`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
