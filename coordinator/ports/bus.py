"""The bus's port: a source of trigger records and a sink for what we publish. Async; one implementation per bus.

Any method may raise `BusUnavailable`; the caller waits with backoff. A source never blocks the caller beyond the
timeout it is given, and hands a record out again after a restart until its offset is committed.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from amends.schemas.record import Record


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A record to publish; order is kept for equal keys."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record was put."""

    topic: str
    partition: int
    offset: int


class Source(Protocol):
    """Reads trigger topics as one member of the installation's consumer group."""

    async def start(self, topics: Sequence[str]) -> None: ...

    async def poll(self, *, records_max: int, timeout_s: float) -> list[Record]:
        """Records in order per partition; an empty list after the timeout."""
        ...

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Everything below these offsets is accounted for in the store (rule 6). Partitions lost since are ignored."""
        ...

    async def at_end(self) -> bool:
        """Whether every assigned partition has been handed out to its present end."""
        ...

    async def stop(self) -> None: ...


class Sink(Protocol):
    """Publishes; every call has a timeout of its own."""

    async def start(self) -> None: ...

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        """Returns when all are acknowledged. Whatever it raises, any number may have been published.

        Raises `RecordRefused` for a record that its topic will not take; the others may then be published without it.
        """
        ...

    async def stop(self) -> None: ...
