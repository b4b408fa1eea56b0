"""What a connector tells the runtime about its state, besides what it returns and raises."""

import logging
from collections.abc import Callable, Mapping

Notice = Callable[[str, Mapping[str, object]], None]
"""Takes a fixed event name and its fields, as a log line has them. Must not block or raise."""

_log = logging.getLogger("amends.bus")


def log_notice(event: str, fields: Mapping[str, object]) -> None:
    """Write it to the log: bad news as a warning."""
    _log.log(logging.WARNING if event.endswith("_away") else logging.INFO, event, extra=dict(fields))
