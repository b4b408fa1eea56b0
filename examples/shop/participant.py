"""What the shop's participants share as processes: a data folder, a port on loopback, one ready line, a clean end.

A participant prints one JSON line on stdout when it accepts connections (its addresses and pid), ends with 0 on
SIGTERM or Ctrl-C, and ends when the process that started it does.
"""

import argparse
import asyncio
import ctypes
import json
import os
import signal
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

LOOPBACK = "127.0.0.1"
STDIN = 0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where a participant keeps its file, and its ports: 0 lets the system choose."""

    data: Path
    ports: tuple[int, ...]


Opener = Callable[[Options], AbstractAsyncContextManager[dict[str, object]]]
"""Opens a participant and yields the fields of its ready line."""


def run(name: str, opener: Opener, *, ports: Sequence[str]) -> int:
    """Read the command line, `ports` names its ports; then serve until SIGTERM, Ctrl-C or the end of the parent.

    The exit code is 0 then, and 2 when it cannot start (a port is taken, the folder cannot be written).
    """
    parser = argparse.ArgumentParser(prog=f"python -m amends.examples.shop.{name}")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder for this participant's SQLite file; made if missing"
    )
    for port in ports:
        parser.add_argument(
            f"--{port}", type=int, default=0, metavar="N", help="on 127.0.0.1 (default: the system chooses)"
        )
    parsed = parser.parse_args()
    options = Options(data=parsed.data, ports=tuple(getattr(parsed, port.replace("-", "_")) for port in ports))
    try:
        parsed.data.mkdir(parents=True, exist_ok=True)
        asyncio.run(_serve(name, opener(options)))
    except OSError as error:
        sys.stderr.write(f"{name} cannot start: {error}\n")
        return 2
    return 0


async def _serve(name: str, opened: AbstractAsyncContextManager[dict[str, object]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    _end_with_parent(loop, stop)
    async with opened as addresses:
        sys.stdout.write(json.dumps({"participant": name, "pid": os.getpid(), **addresses}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _end_with_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # A pipe on stdin ends with its holder: the way on other systems, and for a parent that was gone before prctl.
    with suppress(OSError):
        if stat.S_ISFIFO(os.fstat(STDIN).st_mode):
            loop.add_reader(STDIN, _stop_at_end, loop, stop)


def _stop_at_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(STDIN, 4096):
        loop.remove_reader(STDIN)
        stop.set()


@asynccontextmanager
async def http_on_loopback(application: web.Application, port: int) -> AsyncIterator[str]:
    """Serve the application and yield its base URL."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Break the connection with a TCP reset: the peer learns neither yes nor no."""
    if not isinstance(transport, asyncio.Transport):
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
