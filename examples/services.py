"""Runs a command beside real local services: a card processor over HTTP and a mail server, in processes of their own.

    python -m amends.examples.services payments mail -- amends worker sagas.py --until-idle

The command finds their addresses as `PAYMENTS_URL`, `MAIL_HOST`, `MAIL_PORT` and `MAILBOX_URL`. What they are told
stays in the folder `services` until somebody removes it; how they fail on purpose, and for whom, says `shop/README.md`.
"""

import os
import subprocess
import sys
from pathlib import Path

from amends.examples.shop.launch import ParticipantDidNotStart, Running, participants

DATA = Path("services")
USAGE = 2


def main(arguments: list[str]) -> int:
    """Run the command while the services are up; its exit code."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    names, command = arguments[:at], arguments[at + 1 :]
    if not command or not set(names) <= {"payments", "mail"}:
        sys.stderr.write("usage: python -m amends.examples.services [payments] [mail] -- COMMAND…\n")
        return USAGE
    try:
        with participants(DATA, *names) as running:
            return subprocess.run(command, env={**os.environ, **_addresses(running)}, check=False).returncode
    except (ParticipantDidNotStart, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _addresses(running: dict[str, Running]) -> dict[str, str]:
    found = {}
    if payments := running.get("payments"):
        found["PAYMENTS_URL"] = payments.url
    if mail := running.get("mail"):
        found["MAILBOX_URL"] = mail.url
        found["MAIL_HOST"] = str(mail.addresses["smtp_host"])
        found["MAIL_PORT"] = str(mail.addresses["smtp_port"])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
