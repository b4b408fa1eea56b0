"""The HTTP participant behind the connector's back: its books, what it received, and its faults."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import Request, urlopen

URL = "AMENDS_TEST_KIT_URL"
"""The environment variable that tells connectors where the participant is."""


class Books:
    def __init__(self) -> None:
        self.url = ""
        """Set by the fixture `http_url`."""

    async def of(self, thing: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._ask, "GET", f"/books/{thing}")

    async def applied(self, thing: str) -> int:
        return int((await self.of(thing))["applied"])

    async def undone(self, thing: str) -> int:
        return int((await self.of(thing))["undone"])

    async def requests(self, thing: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.of(thing))["requests"]
        return found

    async def set_fault(self, thing: str, mode: str) -> None:
        await asyncio.to_thread(self._ask, "PUT", f"/faults/{thing}/{mode}")

    async def repair(self, thing: str) -> None:
        await asyncio.to_thread(self._ask, "DELETE", f"/faults/{thing}")

    def _ask(self, method: str, path: str) -> Any:  # JSON, or nothing
        with urlopen(Request(self.url + path, method=method), timeout=10) as response:
            body = response.read()
        return json.loads(body) if body else None


class Mailbox(Books):
    """The mail server's; a thing is the name before the @ of a recipient."""

    async def kept(self, thing: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = await asyncio.to_thread(self._ask, "GET", f"/books/{thing}")
        return found

    async def applied(self, thing: str) -> int:
        return len(await self.kept(thing))


BOOKS = Books()
MAILBOX = Mailbox()


@asynccontextmanager
async def fault(thing: str, *, mode: str, books: Books = BOOKS) -> AsyncIterator[None]:
    """Within, the participant fails for this thing."""
    await books.set_fault(thing, mode)
    yield
    await books.repair(thing)
