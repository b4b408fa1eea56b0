"""A mail server for rehearsals: takes every message on this machine, and sends none on."""

import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Final

from amends.coordinator.testing.stand_in import Named, StandIn

LINE_BYTES_MAX: Final = 65_536
MESSAGES_MAX: Final = 1_000
"""In one scenario."""


class SmtpStandIn(StandIn):
    """Stands in for a `Smtp` connector. The snapshot is every message that was taken: to whom, subject and text.

    A Message-ID that comes again is taken once if the connector promises so (`idempotent=True`), else twice.
    """

    def __init__(self, connector: Named | str) -> None:
        super().__init__(connector, begin=self._fresh, snapshot=self._taken, end=self._close)
        promised = getattr(connector, "certainty", None)
        self._once = promised is not None and promised.deduplicates
        self._messages: list[EmailMessage] = []
        self._server: socketserver.ThreadingTCPServer | None = None

    def take(self, data: bytes) -> None:
        """A message, as it came."""
        message = message_from_bytes(data, policy=policy.default)
        known = {each["Message-ID"] for each in self._messages}
        if len(self._messages) < MESSAGES_MAX and not (self._once and message["Message-ID"] in known):
            self._messages.append(message)

    def _fresh(self) -> str:
        self._messages = []
        if self._server is None:
            self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler_of(self))
            self._server.daemon_threads = True
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return f"smtp://127.0.0.1:{self._server.server_address[1]}"

    def _taken(self) -> dict[str, object]:
        return {str(number): _shown(message) for number, message in enumerate(self._messages, start=1)}

    def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()


def _shown(message: EmailMessage) -> dict[str, object]:
    body = message.get_body(preferencelist=("plain", "html"))
    return {
        "to": str(message["To"]),
        "subject": str(message["Subject"]),
        "text": body.get_content().strip() if body is not None else "",
    }


def _handler_of(stand_in: SmtpStandIn) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        """Commands of RFC 5321, as far as a client needs them to hand a message over."""

        timeout = 30
        disable_nagle_algorithm = True

        def handle(self) -> None:
            self._say("220 rehearsal")
            while line := self.rfile.readline(LINE_BYTES_MAX):
                word = line[:4].upper().strip()
                if word == b"QUIT":
                    self._say("221 bye")
                    return
                if word == b"DATA":
                    self._say("354 go on")
                    stand_in.take(self._content())
                self._say("250 ok")

        def _content(self) -> bytes:
            lines = []
            while (line := self.rfile.readline(LINE_BYTES_MAX)) not in {b".\r\n", b""}:
                lines.append(line[1:] if line.startswith(b"..") else line)
            return b"".join(lines)

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    return Handler
