"""A man in the middle of PostgreSQL connections, who decides what becomes of each COMMIT."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from tests.servers.ports import LOOPBACK

_COMMIT = b"COMMIT\0"


class Pair:
    """A connection's two sides. Muted, nothing that the server says or does reaches the client."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.muted = False


class Commit:
    """A COMMIT on its way from client to server; its reply, if there is one, is lost."""

    def __init__(self, pair: Pair, data: bytes) -> None:
        self._pair = pair
        self._data = data
        pair.muted = True

    def deliver(self) -> None:
        self._pair.server.sendall(self._data)

    def lose_client(self) -> None:
        """The client's side breaks; the server does not notice yet."""
        _break(self._pair.client)

    def lose_server(self) -> None:
        """The server's side breaks; the client does not notice yet."""
        _break(self._pair.server)


Fate = Callable[[Commit], None]


class Proxy:
    """The first COMMIT that passes meets the first of `fates`, and so on; without one it is delivered."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._listener = socket.create_server((LOOPBACK, 0))
        self._pairs: list[Pair] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.fates: list[Fate] = []
        self.commits = 0

    @property
    def url(self) -> str:
        """The server's URL, by way of us."""
        netloc = f"{self._url.username}:{self._url.password}@{LOOPBACK}:{self._listener.getsockname()[1]}"
        return self._url._replace(netloc=netloc).geturl()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _break(self._listener)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def cut(self) -> None:
        """Break every connection."""
        for pair in self._pairs:
            _break(pair.client)
            _break(pair.server)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((self._url.hostname or LOOPBACK, self._url.port or 5432))
            except OSError:
                client.close()  # as a server that is away refuses
                continue
            pair = Pair(client, server)
            self._pairs.append(pair)
            for way in (self._forward, self._return):
                thread = threading.Thread(target=way, args=(pair,))
                self._threads.append(thread)
                thread.start()

    def _forward(self, pair: Pair) -> None:
        with suppress(OSError):
            while data := pair.client.recv(1 << 16):
                if data.endswith(_COMMIT):
                    self.commits += 1
                    if self.fates:
                        self.fates.pop(0)(Commit(pair, data))
                        continue
                pair.server.sendall(data)
        _break(pair.server)
        pair.client.close()

    def _return(self, pair: Pair) -> None:
        with suppress(OSError):
            while data := pair.server.recv(1 << 16):
                if not pair.muted:
                    pair.client.sendall(data)
        if not pair.muted:
            _break(pair.client)
        pair.server.close()


def _break(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
