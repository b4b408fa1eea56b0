"""Free ports on the loopback interface."""

import errno
import random
import socket

LOOPBACK = "127.0.0.1"
LISTENING = range(20_000, 32_768)
"""Below the range that outgoing connections are given, so that a server killed here finds its port free again."""


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens on at this moment. Somebody else may take one before you do: start again then."""
    chooser = random.SystemRandom()  # not `random`: pytest-randomly seeds that, and two sessions would choose alike
    held: dict[int, socket.socket] = {}
    try:
        while len(held) < count:
            port = chooser.choice(LISTENING)
            if port not in held and (bound := _bound(port)):
                held[port] = bound
        return tuple(held)
    finally:
        for bound in held.values():
            bound.close()


def is_open(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _bound(port: int) -> socket.socket | None:
    candidate = socket.socket()
    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        candidate.bind((LOOPBACK, port))
    except OSError as error:
        candidate.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return candidate
