"""One conversation with a mail server, in a thread: until the last byte of the message has left, nothing was sent.

After that only the server's reply says what became of it (RFC 5321, 4.2.5 and 6.1): 2yz it took over the message, 4yz
and 5yz it did not; no reply, nobody knows.
"""

import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal

from amends.connectors.smtp.message import Envelope
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown

Security = Literal["starttls", "tls", "none"]

GO_ON: Final = 354
TAKEN: Final = 2
LATER: Final = 4
NEVER: Final = 5
"""Families of replies, by their first digit (RFC 5321, 4.2.1)."""

_ENHANCED = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})\b")  # RFC 3463; the text behind it may name an address
_STUFFED = re.compile(rb"(?m)^\.")
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where to go and as whom; resolved, so it lives for one conversation."""

    host: str
    port: int
    security: Security
    user: str | None
    password: str | None
    ca_file: str | None
    timeout_s: float


class Delivery:
    """One message to one server, once. `name` is the connector's."""

    def __init__(self, server: Server, envelope: Envelope, *, name: str, allow: Callable[[], None]) -> None:
        self._server = server
        self._envelope = envelope
        self._name = name
        self._allow = allow
        self._lock = Lock()
        self._client: smtplib.SMTP | None = None
        self._abandoned = False
        self._in_message = False
        self.began = False
        """Whether the server was asked anything."""
        self.sent = False
        """Whether the message has left, or may have."""

    def run(self) -> str:
        """Deliver; the server's code. Raises what is known: see `failures.py`."""
        try:
            client = self._connected()
            try:
                self._greet(client)
                self._address(client)
                return self._hand_over(client)
            finally:
                self._leave(client)
        except (StepRefused, StepUnavailable, StepUnknown):
            raise
        except smtplib.SMTPResponseException as error:
            raise self._answered("the greeting", error.smtp_code, _bytes(error.smtp_error)) from None
        except smtplib.SMTPNotSupportedError as error:
            raise StepRefused(f"{self._name}: the server lacks what is needed; nothing was sent") from error
        except (smtplib.SMTPException, OSError) as error:
            why = f"{self._name}: {type(error).__name__}"
            if self.sent:
                raise StepUnknown(f"{why} after the message had left, before the server's reply") from error
            raise StepUnavailable(f"{why}; nothing was sent") from error

    def abandon(self) -> None:
        """Called from another thread: break the connection, so that nothing more is sent."""
        with self._lock:
            self._abandoned = True
            if self._client is not None and self._client.sock is not None:
                with suppress(OSError):
                    self._client.sock.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        name = socket.gethostname()  # smtplib would ask the DNS
        if server.security == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, name, timeout=server.timeout_s, context=_context(server)
            )
        else:
            client = smtplib.SMTP(server.host, server.port, name, timeout=server.timeout_s)
        with self._lock:
            self._client = client
            abandoned = self._abandoned
        self.began = True
        if abandoned:
            client.close()
            raise StepUnavailable(f"{self._name}: the attempt was given up; nothing was sent", kind="withdrawn")
        return client

    def _greet(self, client: smtplib.SMTP) -> None:
        server = self._server
        if server.security == "starttls":
            client.starttls(context=_context(server))
        client.ehlo_or_helo_if_needed()
        if server.user is not None and server.password is not None:
            try:
                client.login(server.user, server.password)
            except smtplib.SMTPAuthenticationError as error:
                if error.smtp_code // 100 == LATER:
                    raise
                reason = f"{self._name}: the server does not accept the user and password ({error.smtp_code})"
                raise StepRefused(reason, kind="permission_denied") from None

    def _address(self, client: smtplib.SMTP) -> None:
        options = [f"size={len(self._envelope.content)}"] if client.has_extn("size") else []
        if self._envelope.international:
            if not client.has_extn("smtputf8"):
                raise StepRefused(f"{self._name}: an address is not ASCII, and the server knows no SMTPUTF8")
            options += ["SMTPUTF8", "BODY=8BITMIME"]
            client.command_encoding = "utf-8"
        code, reply = client.mail(self._envelope.sender, options)
        if code // 100 != TAKEN:
            raise self._answered("the sender", code, reply)
        for number, recipient in enumerate(self._envelope.recipients, start=1):
            code, reply = client.rcpt(recipient)
            if code // 100 != TAKEN:  # all of them or none: half a message sent could not be sent again
                raise self._answered(f"recipient {number} of {len(self._envelope.recipients)}", code, reply)

    def _hand_over(self, client: smtplib.SMTP) -> str:
        code, reply = client.docmd("DATA")
        if code != GO_ON:
            raise self._answered("DATA", code, reply)
        self._in_message = True
        self._allow()
        content = _STUFFED.sub(b"..", _LINE_END.sub(b"\r\n", self._envelope.content))
        ending = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
        self.sent = True
        try:
            client.send(content + ending)
            code, reply = client.getreply()
        except smtplib.SMTPResponseException as error:  # it could not be read
            raise StepUnknown(f"{self._name}: the server's reply to the message is none") from error
        self._in_message = False
        if code // 100 == TAKEN:
            return str(code)
        if code // 100 in (LATER, NEVER):
            self.sent = False
        raise self._answered("the message", code, reply)

    def _leave(self, client: smtplib.SMTP) -> None:
        """Without waiting for a farewell; in the middle of a message there is none, it would be part of the text."""
        if not self._in_message:
            with suppress(smtplib.SMTPException, OSError):
                client.putcmd("QUIT")
        client.close()

    def _answered(self, to: str, code: int, reply: bytes) -> StepRefused | StepUnavailable | StepUnknown:
        found = _ENHANCED.search(reply)
        reason = f"{self._name}: {to} was answered {code}{' ' + found[1].decode() if found else ''}"
        if code // 100 == NEVER:
            return StepRefused(reason)
        return StepUnknown(reason) if self.sent else StepUnavailable(reason)


def _context(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
