"""One record of a topic, as every bus hands it over and takes it."""

import msgspec

Headers = tuple[tuple[str, bytes], ...]
"""In the order of the record. A name may stand there more than once; the last one counts."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record and where it stood. `timestamp_ms` is the bus's own, milliseconds since 1970 UTC."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int | None = None
    unreadable: str | None = None
    """Why the bus could not hand over what stood here, and up to where: a dead letter `undecodable`, without bytes."""

    def header(self, name: str) -> bytes | None:
        """Value of the last header of this name; names are compared without regard to case."""
        for header, value in reversed(self.headers):
            if header == name or header.lower() == name:
                return value
        return None
