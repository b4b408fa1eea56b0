"""Runs commands of Amends for the pages, each in a process of its own that finds everything imported.

Reads one command a line as JSON: `arguments`, `folder`, `environment`, `out`, `error`. Answers a line when it ended.
"""

import json
import os
import sys
from typing import Any

from amends.coordinator.cli.main import run

PRELOADED = (
    "amends.connectors.stores.sqlite",
    "amends.connectors.local.views",
    "amends.connectors.sql",
    "amends.coordinator.cli.service",
    "amends.coordinator.cli.topic_reading",
    "amends.coordinator.config",
    "amends.coordinator.definition.loading",
    "amends.coordinator.reading.story",
    "amends.coordinator.runtime.worker",
)


def main() -> None:
    """Until nobody asks any more."""
    for name in PRELOADED:
        __import__(name)
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(wanted)
        os.waitpid(child, 0)
        print(flush=True)


def _become(wanted: dict[str, Any]) -> None:
    """Be that command, and end with it."""
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    for stream, path in ((0, os.devnull), (1, wanted["out"]), (2, wanted["error"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), stream)
    code = run(wanted["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
