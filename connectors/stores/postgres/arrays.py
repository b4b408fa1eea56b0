"""Arrays as PostgreSQL reads them in binary: packed here once, because a batch has thousands of values.

psycopg looks up a dumper for each element of a list; a column of one type needs that only once.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL: Final = struct.pack(">i", -1)
_length: Final = struct.Struct(">i").pack
_integer: Final = struct.Struct(">iq").pack


class Integers(bytes):
    """A `bigint[]`."""


class Texts(bytes):
    """A `text[]`. PostgreSQL's text holds no NUL; the sign for it stands in its place."""


class Blobs(bytes):
    """A `bytea[]`."""


def integers(values: Sequence[int | None]) -> Integers:
    if None in values:
        packed = b"".join(_NULL if value is None else _integer(8, value) for value in values)
    else:
        flat: list[Any] = [8] * (2 * len(values))
        flat[1::2] = values
        packed = struct.pack(">" + "iq" * len(values), *flat)
    return Integers(_header(20, len(values)) + packed)


def texts(values: Iterable[str | None]) -> Texts:
    parts: list[bytes] = []
    count = 0
    for value in values:
        count += 1
        if value is None:
            parts.append(_NULL)
        else:
            data = without_nul(value).encode()
            parts += (_length(len(data)), data)
    return Texts(_header(25, count) + b"".join(parts))


def blobs(values: Sequence[bytes]) -> Blobs:
    parts: list[bytes] = []
    for value in values:
        parts += (_length(len(value)), value)
    return Blobs(_header(17, len(values)) + b"".join(parts))


def without_nul(value: str) -> str:
    """Text that PostgreSQL can hold; the entry itself, which is bytes, keeps the original."""
    return value.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in value else value


def register(connection: Connection[Any]) -> None:
    """Teach a connection these arrays."""
    for dumper in (_IntegersDumper, _TextsDumper, _BlobsDumper):
        connection.adapters.register_dumper(dumper.packed, dumper)


def _header(element: int, count: int) -> bytes:
    """Dimensions, whether there are nulls (the server does not look), the elements' type, size, first index."""
    return struct.pack(">iiiii", 1, 1, element, count, 1) if count else struct.pack(">iii", 0, 0, element)


class _Packed(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:  # noqa: ANN401  the library's signature
        return bytes(obj)


class _IntegersDumper(_Packed):
    packed = Integers
    oid = 1016


class _TextsDumper(_Packed):
    packed = Texts
    oid = 1009


class _BlobsDumper(_Packed):
    packed = Blobs
    oid = 1001
