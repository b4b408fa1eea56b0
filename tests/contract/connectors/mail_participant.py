"""A mail server in a process of its own, with a mailbox to look into over HTTP. It holds nothing of ours.

Two SMTP ports: an open one keeps whatever comes; one behind STARTTLS and a password keeps a Message-ID once. Faults
are set for the name before the @ of a recipient: `PUT /faults/{name}/{mode}`.
"""

import asyncio
import json
import ssl
import sys
from collections import defaultdict
from email import message_from_bytes, policy
from itertools import chain
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

REPLIES = {
    "rcpt-451": "451 4.7.1 secret-of-the-server try later",
    "rcpt-550": "550 5.1.1 secret-of-the-server no such mailbox",
    "data-451": "451 4.3.0 try later",
    "data-552": "552 5.3.4 too big for me",
}


class Mailbox:
    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.faults: dict[str, str] = {}

    async def take(self, envelope: Envelope, server: SMTP, *, once: bool) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        message_id, mode = str(message["Message-ID"]), ""
        for recipient in envelope.rcpt_tos:
            name = recipient.partition("@")[0]
            mode = mode or self.faults.get(name, "")
            kept = self.messages[name]
            if mode not in REPLIES and not (once and any(known["id"] == message_id for known in kept)):
                kept.append({"id": message_id, "raw": content.decode()})
        if mode == "lose":
            leave(server)
        elif mode == "slow":
            await asyncio.sleep(1)
        return REPLIES.get(mode, "250 2.0.0 kept")

    async def books(self, request: web.Request) -> web.Response:
        return web.json_response(self.messages[request.match_info["name"]])

    async def find(self, request: web.Request) -> web.Response:
        kept = any(known["id"] == request.query["id"] for known in chain(*self.messages.values()))
        return web.json_response({"id": request.query["id"]}, status=200 if kept else 404)

    async def set_fault(self, request: web.Request) -> web.Response:
        self.faults[request.match_info["thing"]] = request.match_info["mode"]
        return web.Response(status=204)

    async def repair(self, request: web.Request) -> web.Response:
        self.faults.pop(request.match_info["thing"], None)
        return web.Response(status=204)


class Handler:
    def __init__(self, mailbox: Mailbox, *, once: bool) -> None:
        self.mailbox = mailbox
        self.once = once

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        mode = self.mailbox.faults.get(address.partition("@")[0], "")
        if mode.startswith("rcpt"):
            return REPLIES[mode]
        if mode == "leave":
            leave(server)
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  see above
        return await self.mailbox.take(envelope, server, once=self.once)


def leave(server: SMTP) -> None:
    assert server.transport is not None
    server.transport.close()


def allowed(password: str) -> Any:  # aiosmtpd wants a callable of its own shape
    def authenticate(_server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
        good = isinstance(data, LoginPassword) and data == LoginPassword(b"shop", password.encode())
        return AuthResult(success=good, handled=False)

    return authenticate


async def serve(certificate: str, key: str, password: str) -> None:
    mailbox, loop = Mailbox(), asyncio.get_running_loop()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    open_one = await loop.create_server(
        lambda: SMTP(Handler(mailbox, once=False), enable_SMTPUTF8=True, hostname="mail.example"), "127.0.0.1", 0
    )
    secured = await loop.create_server(
        lambda: SMTP(
            Handler(mailbox, once=True),
            tls_context=tls,
            require_starttls=True,
            authenticator=allowed(password),
            auth_required=True,
            hostname="mail.example",
        ),
        "127.0.0.1",
        0,
    )
    application = web.Application()
    application.add_routes(
        [
            web.get("/messages", mailbox.find),
            web.get("/books/{name}", mailbox.books),
            web.put("/faults/{thing}/{mode}", mailbox.set_fault),
            web.delete("/faults/{thing}", mailbox.repair),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ports = {
        "open": open_one.sockets[0].getsockname()[1],
        "secured": secured.sockets[0].getsockname()[1],
        "http": runner.addresses[0][1],
    }
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
