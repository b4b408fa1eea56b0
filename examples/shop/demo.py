"""`amends demo shop`: participants fail in every way, the worker is killed, and in the end the books must balance.

    python -m amends.examples.shop.demo

It starts the participants, publishes `orders.jsonl`, and tells what happens as it happens. Nothing it says is written
here: it is what the commands print, what the log holds, and what the participants' own databases say.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from amends.coordinator.errors import AmendsError, FoundFault
from amends.examples.shop.launch import ParticipantDidNotStart
from amends.examples.shop.scenes import Demo
from amends.examples.shop.stage import stage
from amends.examples.shop.telling import Teller

FOLDER = Path(".amends-demo")
PREFIX = "AMENDS_"
INTERRUPTED = 130


def main(flags: Mapping[str, str]) -> int:
    """Play the demo; the exit code is 0 only if the books balance. Raises `AmendsError`.

    `flags` are settings by name (`data`, `store`, `bus`, …); they come before `AMENDS_…` in the environment. Without
    either, all of it runs on the embedded default, in the folder `.amends-demo`, which stays for a look and is emptied
    by the next demo. A file `amends.toml` in the working folder is for something else and is not read.
    """
    given = {**_environment(), **flags}
    begun_s = time.monotonic()
    former = signal.signal(signal.SIGTERM, _interrupt)
    teller = Teller()
    try:
        with stage(Path(given.get("data") or FOLDER), given) as set_up:
            demo = Demo(set_up, teller)
            balanced = _play(demo)
            teller.say(f"All this took {time.monotonic() - begun_s:.1f} s. To look around, until the next demo:", "")
            teller.commands(demo.next_commands())
    except ParticipantDidNotStart as error:
        raise FoundFault("AM6004", str(error), do="read it, then try again") from None
    finally:
        signal.signal(signal.SIGTERM, former)
    return 0 if balanced else 1


def _play(demo: Demo) -> bool:
    demo.introduce()
    demo.publish()
    demo.kill_a_worker()
    demo.let_another_finish()
    demo.show_what_became_of_the_records()
    demo.tell_some_stories()
    demo.decide()
    demo.teach()
    demo.work_off_the_rest()
    return demo.reconcile()


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Let SIGTERM end the demo as Ctrl-C does: everything it started is ended first."""
    raise KeyboardInterrupt


def _environment() -> dict[str, str]:
    """Take the settings out of the environment: those of the demo are its own, and its commands get them as flags."""
    names = [name for name in os.environ if name.startswith(PREFIX) and os.environ[name]]
    return {name.removeprefix(PREFIX).lower(): os.environ.pop(name) for name in names}


if __name__ == "__main__":
    try:
        sys.exit(main({}))
    except AmendsError as error:
        sys.stderr.write(f"{error.line()}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
