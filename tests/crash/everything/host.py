"""Runs programs of a village, each in a process of its own that finds everything imported, and that can die on purpose.

Reads a line of JSON, and answers one: `{"start": {…}}` with a pid, `{"ended": pid}` with the exit code (negative for a
signal) or null, `{"stop": pid}` with the exit code after SIGTERM. Whoever is left when nobody asks any more is killed.
"""

import json
import os
import runpy
import signal
import sys
from contextlib import suppress
from typing import Any

from amends.coordinator.cli.main import run
from tests.crash.everything.deaths import die_as_told
from tests.docs.host import PRELOADED

MORE = ("amends.connectors.participant", "amends.participant")


def main() -> None:
    """Until nobody asks any more."""
    for name in (*PRELOADED, *MORE):
        __import__(name)
    running: dict[int, int | None] = {}
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), running)), flush=True)
    for pid, code in running.items():
        if code is None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _answer(asked: dict[str, Any], running: dict[int, int | None]) -> int | None:
    if "start" in asked:
        child = os.fork()
        if child == 0:
            _become(asked["start"])
        running[child] = None
        return child
    pid = int(asked.get("ended") or asked["stop"])
    if running[pid] is None:
        if "stop" in asked:
            os.kill(pid, signal.SIGTERM)
        found, status = os.waitpid(pid, os.WNOHANG if "ended" in asked else 0)
        running[pid] = os.waitstatus_to_exitcode(status) if found else None
    return running[pid]


def _become(wanted: dict[str, Any]) -> None:
    """Be that program, and end with it."""
    os.chdir(wanted["folder"])
    for stream, path in ((0, os.devnull), (1, wanted["out"]), (2, wanted["log"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), stream)
    die_as_told(wanted["die"])
    program, *arguments = wanted["program"]
    code = 0
    if program == "amends":
        code = run(arguments)
    else:
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
