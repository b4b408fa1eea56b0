"""One request and its answer over aiohttp, told apart by what is known afterwards: answered, never sent, or lost."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amends.coordinator.loop_resources import hold

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

CONNECTIONS_PER_HOST: Final = 100
KEPT_ALIVE_S: Final = 15.0
_LARGE_BODY: Final = 1 << 20  # aiohttp wants a stream beyond this


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    `unread` says why the body is not all there; the status stands all the same. `replayed`: the participant says that
    this is what it kept under the key (the header `Idempotent-Replayed`).
    """

    status: int
    body: bytes
    content_type: str
    location: str | None
    retry_after: str | None
    unread: str | None
    replayed: bool = False


class NotSentError(Exception):
    """No byte of the request left: nobody listens, no such host, no trust, no free connection in time."""


class UnfitError(Exception):
    """The request cannot be put on the wire at all."""


class LostError(Exception):
    """The request left, in whole or in part, and no answer came."""


async def exchange(
    method: str,
    url: "URL",
    *,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout_s: float,
    connect_s: float,
    size_bytes_max: int,
) -> Answer:
    """Send one request, once. `connect_s` bounds the wait before its first byte, `timeout_s` all of it."""
    from aiohttp import (  # noqa: PLC0415  a definition is loaded without it
        ClientConnectorError,
        ClientError,
        ClientTimeout,
        ConnectionTimeoutError,
        InvalidURL,
        NonHttpUrlClientError,
        ServerFingerprintMismatch,
    )

    timeout = ClientTimeout(total=timeout_s, connect=connect_s, ceil_threshold=math.inf)
    data = io.BytesIO(body) if body is not None and len(body) >= _LARGE_BODY else body
    try:
        async with _session().request(
            method, url, data=data, headers=headers, allow_redirects=False, timeout=timeout
        ) as response:
            return await _answer(response, size_bytes_max)
    except (ClientConnectorError, ConnectionTimeoutError, ServerFingerprintMismatch) as error:
        raise NotSentError(_why(error)) from error
    except (InvalidURL, NonHttpUrlClientError) as error:
        raise UnfitError(type(error).__name__) from error
    except TimeoutError as error:
        raise LostError(f"no answer within {timeout_s:.3g} s") from error
    except (ClientError, OSError) as error:
        raise LostError(_why(error)) from error


async def _answer(response: "ClientResponse", size_bytes_max: int) -> Answer:
    from aiohttp import ClientError  # noqa: PLC0415  see above

    headers = response.headers
    body, unread = b"", None
    if headers.get("Content-Encoding", "identity") != "identity":
        unread = "compressed, though it was asked not to be"
        response.close()
    else:
        try:
            body, unread = await _body(response, size_bytes_max)
        except (ClientError, OSError) as error:  # a timeout is an OSError
            unread = f"cut short: {_why(error)}"
            response.close()
    return Answer(
        status=response.status,
        body=body,
        content_type=headers.get("Content-Type", ""),
        location=headers.get("Location"),
        retry_after=headers.get("Retry-After"),
        unread=unread,
        replayed=headers.get("Idempotent-Replayed", "").lower() == "true",
    )


async def _body(response: "ClientResponse", size_bytes_max: int) -> tuple[bytes, str | None]:
    content, chunks, size = response.content, [], 0
    while not content.at_eof():
        chunk = await content.readany()
        size += len(chunk)
        if size > size_bytes_max:
            response.close()
            return b"", f"larger than {size_bytes_max} bytes"
        chunks.append(chunk)
    return (chunks[0] if len(chunks) == 1 else b"".join(chunks)), None


def _why(error: BaseException) -> str:
    """The kind of fault and the system's word for it, never an address or a header."""
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if isinstance(reason, str) else type(error).__name__


def _session() -> "ClientSession":
    """One session for all connectors of a loop: connections are pooled by host, and no cookie is kept."""
    return hold("http", _open, _close)


def _open() -> "ClientSession":
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector  # noqa: PLC0415  see above

    session = ClientSession(
        connector=TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST, keepalive_timeout=KEPT_ALIVE_S),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,  # a small answer must not become a large one
        headers={"User-Agent": "amends", "Accept-Encoding": "identity"},
    )
    # aiohttp would repeat a PUT or DELETE by itself when a kept connection breaks; whether that is safe is ours to say.
    session._retry_connection = False  # noqa: SLF001  there is no public way; a test holds it to this
    return session


async def _close(session: "ClientSession") -> None:
    await session.close()
