"""`amends`, and `python -m amends`."""

import os
import signal
import sys
from typing import Final

SERVICES: Final = ("dev", "worker", "relay")
INTERRUPTED: Final = 130


def main() -> None:
    """Run the command line and exit with its code. Signals are heeded from here on, while the rest is imported."""
    if sys.argv[1:2] and sys.argv[1] in SERVICES:
        signal.signal(signal.SIGTERM, _end)
    try:
        from amends.coordinator.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def _end(*_: object) -> None:
    """Until a service heeds SIGTERM itself it has begun nothing, so it stops in order by ending."""
    os._exit(0)


if __name__ == "__main__":
    main()
