"""What stands before a registry in many a house: a proxy that lets requests through, or answers itself."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Gate(ThreadingHTTPServer):
    """`answer` is a status and a text for everybody; None lets everybody through to `behind`."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.behind = behind
        self.answer: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answering(BaseHTTPRequestHandler):
    server: Gate

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, body: bytes | None) -> None:
        status, data = self._of_registry(body) if self.server.answer is None else self.server.answer
        self.send_response(status)
        sent = data.encode()
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def _of_registry(self, body: bytes | None) -> tuple[int, str]:
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self.server.behind + self.path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def gate_before(registry: str) -> Iterator[Gate]:
    """Run one for as long as the block."""
    with Gate(registry) as gate:
        threading.Thread(target=gate.serve_forever, daemon=True).start()
        yield gate
        gate.shutdown()
