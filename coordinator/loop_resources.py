"""What connectors keep open for as long as an event loop of handlers runs: HTTP sessions, database connections.

A connector is declared when a module is imported, long before there is a loop; it opens what it needs at its first
use, here, and whoever runs the handlers closes it all at the end with `close_all`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

Resource = TypeVar("Resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    resource: Any
    close: Callable[[], Awaitable[None]]


_held: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Held]] = WeakKeyDictionary()


def hold(key: Hashable, open_it: Callable[[], Resource], close: Callable[[Resource], Awaitable[None]]) -> Resource:
    """The running loop's resource of this key, opened now if there is none yet."""
    of_loop = _held.setdefault(asyncio.get_running_loop(), {})
    held = of_loop.get(key)
    if held is None:
        resource = open_it()
        held = of_loop[key] = _Held(resource=resource, close=lambda: close(resource))
    return cast("Resource", held.resource)


async def close_all() -> None:
    """Close what the running loop holds, the latest first. One that fails does not keep the others open."""
    of_loop = _held.pop(asyncio.get_running_loop(), {})
    results = await asyncio.gather(*(held.close() for held in reversed(of_loop.values())), return_exceptions=True)
    failures = [result for result in results if isinstance(result, Exception)]
    if failures:
        raise ExceptionGroup("connectors could not be closed", failures)
