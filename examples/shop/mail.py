"""Mail: a mail server in a process of its own, which keeps what it gets and answers by Message-ID.

It speaks SMTP on one port. A message is answered with 250 only when it is stored; the same Message-ID to the same
recipient is stored once, however often it is sent. Over HTTP, `GET /messages?id=<…>` says what became of a message: the
question to ask when a connection broke before the answer.
"""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiohttp import web

from amends.examples.shop.faults import Fault, Faults
from amends.examples.shop.participant import LOOPBACK, Options, http_on_loopback, reset, run

FAULTS = (
    Fault(mode="refuse", ending="@nowhere.example", reason="no such mailbox"),
    Fault(mode="down", ending="@greylisted.example", first=1),
    Fault(mode="reset", ending="@flaky.example", first=1),
    Fault(mode="slow", ending="@slow.example", first=1),
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    message_id TEXT NOT NULL, recipient TEXT NOT NULL, sender TEXT NOT NULL, subject TEXT NOT NULL,
    at_us INTEGER NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (message_id, recipient));
CREATE TABLE IF NOT EXISTS requests (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, message_id TEXT NOT NULL, recipient TEXT NOT NULL,
    fault TEXT);
"""

STORE_ONCE = (
    "INSERT OR IGNORE INTO messages (message_id, sender, subject, at_us, raw, recipient) VALUES (?, ?, ?, ?, ?, ?)"
)

MESSAGE_BYTES_MAX = 1_000_000
LINE_BYTES_MAX = 64 * 1024
IDLE_S = 60


class Mailbox:
    """The stored messages, and `requests`: every delivery that was tried, as ground truth. One SQLite file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)

    def close(self) -> None:
        self._db.close()

    def tried(self, recipient: str) -> int:
        """Count the deliveries to this recipient that were tried, whatever became of them."""
        row = self._db.execute("SELECT count(*) FROM requests WHERE recipient = ?", (recipient,)).fetchone()
        return int(row[0])

    def note_try(self, message_id: str, recipient: str, fault: Fault | None) -> None:
        self._db.execute(
            "INSERT INTO requests (at_us, message_id, recipient, fault) VALUES (?, ?, ?, ?)",
            (_now_us(), message_id, recipient, None if fault is None else fault.mode),
        )

    def take(self, raw: bytes, message: EmailMessage, to: list[str], sender: str, fault: Fault | None) -> None:
        """Note the try; store the message once for each recipient unless the fault forbids it. Durable on return."""
        message_id = _message_id(message)
        row = (message_id, sender, str(message["Subject"] or ""), _now_us(), raw)
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            for recipient in to:
                self.note_try(message_id, recipient, fault)
            if fault is None or fault.mode not in ("refuse", "down"):
                self._db.executemany(STORE_ONCE, [(*row, recipient) for recipient in to])

    def find(self, message_id: str) -> list[dict[str, object]]:
        rows = self._db.execute("SELECT recipient, subject, at_us FROM messages WHERE message_id = ?", (message_id,))
        return [{"message_id": message_id, "recipient": row[0], "subject": row[1], "at_us": row[2]} for row in rows]


class SmtpServer:
    """Accepts SMTP connections and closes them all at the end."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self._sessions: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self, port: int) -> AsyncIterator[int]:
        """Serve on this port, 0 for one of the system's choice, and yield it."""
        server = await asyncio.start_server(self._accept, LOOPBACK, port, limit=LINE_BYTES_MAX)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.get_running_loop().create_task(self._serve_one(reader, writer))
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A line too long, silence, and a peer that leaves all end the session: nothing was promised without a 250.
        with (
            suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError),
            closing(writer),
        ):
            await SmtpSession(self._mailbox, self._faults, reader, writer).converse()


class SmtpSession:
    """One connection: RFC 5321's minimum (EHLO, MAIL, RCPT, DATA, RSET, NOOP, VRFY, QUIT)."""

    def __init__(
        self, mailbox: Mailbox, faults: Faults, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self._reader = reader
        self._writer = writer
        self._sender: str | None = None
        self._recipients: list[str] = []

    async def converse(self) -> None:
        await self._say("220 mail.shop.example ESMTP")
        while line := await self._line():
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    await self._say(f"250-mail.shop.example\r\n250-SIZE {MESSAGE_BYTES_MAX}\r\n250 8BITMIME")
                case "HELO" | "NOOP":
                    await self._say("250 mail.shop.example")
                case "MAIL":
                    await self._mail(rest)
                case "RCPT":
                    await self._rcpt(rest)
                case "DATA":
                    await self._data()
                case "RSET":
                    self._forget()
                    await self._say("250 forgotten")
                case "VRFY":
                    await self._say("252 send it and see")
                case "QUIT":
                    await self._say("221 bye")
                    return
                case _:
                    await self._say("500 not a command here")

    async def _mail(self, rest: str) -> None:
        address = _address("FROM", rest)
        if address is None:
            await self._say("501 say MAIL FROM:<address>")
            return
        self._forget()
        self._sender = address
        await self._say("250 go on")

    async def _rcpt(self, rest: str) -> None:
        address = _address("TO", rest)
        if self._sender is None or not address:
            await self._say("503 MAIL comes first" if self._sender is None else "501 say RCPT TO:<address>")
            return
        fault = self._faults.hit("mail", address, earlier=self._mailbox.tried(address))
        if fault is not None and fault.mode == "refuse":
            self._mailbox.note_try("", address, fault)
            await self._say(f"550 5.1.1 <{address}>: {fault.reason}")
            return
        self._recipients.append(address)
        await self._say("250 go on")

    async def _data(self) -> None:
        if self._sender is None or not self._recipients:
            await self._say("503 MAIL and RCPT come first")
            return
        await self._say("354 end with a single dot")
        raw = await self._body()
        if raw is None:
            await self._say(f"552 5.3.4 more than {MESSAGE_BYTES_MAX} bytes")
        else:
            await self._take(raw, self._sender)
        self._forget()

    async def _body(self) -> bytes | None:
        """Read to the single dot; None if it was too much."""
        lines: list[bytes] = []
        size_bytes = 0
        while (line := await self._line()) != b".\r\n":
            size_bytes += len(line)
            if size_bytes <= MESSAGE_BYTES_MAX:
                lines.append(line.removeprefix(b"."))
        return b"".join(lines) if size_bytes <= MESSAGE_BYTES_MAX else None

    async def _take(self, raw: bytes, sender: str) -> None:
        message = message_from_bytes(raw, policy=policy.default)
        message_id = _message_id(message)
        if not message_id:
            await self._say("554 5.6.0 a message needs a Message-ID: it is stored once by it")
            return
        hits = (self._faults.hit("mail", to, earlier=self._mailbox.tried(to)) for to in self._recipients)
        fault = next((hit for hit in hits if hit is not None), None)
        self._mailbox.take(raw, message, self._recipients, sender, fault)
        match fault:
            case Fault(mode="refuse", reason=reason):
                await self._say(f"550 5.7.1 {reason}")
            case Fault(mode="down"):
                await self._say("451 4.7.1 greylisted: try again")
            case Fault(mode="lost" | "reset"):
                reset(self._writer.transport)
            case Fault(delay_ms=delay_ms):
                await asyncio.sleep(delay_ms / 1_000)
                await self._say(f"250 2.0.0 stored {message_id}")
            case None:
                await self._say(f"250 2.0.0 stored {message_id}")

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []

    async def _line(self) -> bytes:
        async with asyncio.timeout(IDLE_S):
            return await self._reader.readuntil(b"\n")

    async def _say(self, reply: str) -> None:
        self._writer.write(reply.encode() + b"\r\n")
        async with asyncio.timeout(IDLE_S):
            await self._writer.drain()


def _address(keyword: str, rest: str) -> str | None:
    found = re.match(rf"{keyword}:\s*<([^<>\s]*)>", rest, re.IGNORECASE)
    return found and found[1]


def _message_id(message: EmailMessage) -> str:
    return str(message["Message-ID"] or "").strip()


def _now_us() -> int:
    return time.time_ns() // 1_000


def lookup(mailbox: Mailbox, faults: Faults) -> web.Application:
    """Return the HTTP side: what is stored under a Message-ID, and the control of the faults."""

    async def find(request: web.Request) -> web.Response:
        messages = mailbox.find(request.query.get("id", ""))
        return web.json_response({"messages": messages}, status=200 if messages else 404)

    application = web.Application()
    application.add_routes([web.get("/messages", find), *faults.routes()])
    return application


@asynccontextmanager
async def open_mail(options: Options) -> AsyncIterator[dict[str, object]]:
    """Open the mailbox and serve it by SMTP and HTTP."""
    smtp_port, http_port = options.ports
    faults = Faults(*FAULTS)
    with closing(Mailbox(options.data / "mail.db")) as mailbox:
        async with (
            SmtpServer(mailbox, faults).serve(smtp_port) as port,
            http_on_loopback(lookup(mailbox, faults), http_port) as url,
        ):
            yield {"smtp_host": LOOPBACK, "smtp_port": port, "url": url}


if __name__ == "__main__":
    raise SystemExit(run("mail", open_mail, ports=["port", "http-port"]))
