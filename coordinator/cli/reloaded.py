"""A command of ours as the child of `amends dev --reload`: it ends when its parent does.

    python -m amends.coordinator.cli.reloaded LIFELINE COMMAND…

LIFELINE is the end of a pipe whose other end only the parent has. `load APP…` in place of a command only looks whether
the code can be loaded, and says in one line why not.
"""

import os
import signal
import sys
import threading
from typing import Final

LOAD: Final = "load"


def main(arguments: list[str]) -> int:
    """Be that command, until it ends."""
    lifeline, *command = arguments
    threading.Thread(target=_end_with_parent, args=(int(lifeline),), daemon=True).start()
    sys.dont_write_bytecode = True  # Python takes a cached file for fresh if the source changed within the same second.
    if command[0] == LOAD:
        from amends.coordinator.cli.failing import guarded

        return guarded(lambda: _load(command[1:]))
    from amends.coordinator.cli.main import run

    return run(command)


def _load(apps: list[str]) -> int:
    from amends.coordinator.definition.loading import load_app

    for app in apps:
        load_app(app)
    return 0


def _end_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
