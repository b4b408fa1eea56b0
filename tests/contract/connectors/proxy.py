"""A TCP proxy that can lose what a server says after a certain word of the client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Once for each `lose_after`: the word is passed on, the server's next words are not, and the connection ends."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.lose_after: list[bytes] = []
        self.lost = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.target)
        losing = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._client_says(reader, to_writer, losing))
                group.create_task(self._server_says(to_reader, writer, losing))
        except asyncio.CancelledError:
            return  # by `end`; asyncio's own callback would report it as an error
        finally:
            self._connections.discard(task)
            for each in (writer, to_writer):
                each.close()

    async def _client_says(
        self, reader: asyncio.StreamReader, to_writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await reader.read(65_536):
            if self.lose_after and self.lose_after[0] in data:
                self.lose_after.pop(0)
                losing.set()
            to_writer.write(data)
        to_writer.close()

    async def _server_says(
        self, to_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await to_reader.read(65_536):
            if losing.is_set():
                self.lost += 1
                break
            writer.write(data)
        writer.close()

    def end(self) -> None:
        for connection in list(self._connections):
            connection.cancel()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.gather(*proxy._connections, return_exceptions=True)
