"""Decompression with a limit.

aiokafka unpacks a compressed batch in one go, whatever comes out: ten kilobytes on the wire may become gigabytes here.
Its decoders are replaced by ones that stop at a limit while one is set (only our sources set it), and are unchanged
otherwise.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

import cramjam
from aiokafka.record import default_records, legacy_records

Packed = bytes | bytearray | memoryview

BATCH_BYTES_MAX = 32 * 1024 * 1024
"""What a batch may unpack to. Clients send batches of at most a few megabytes."""

_limit: ContextVar[int | None] = ContextVar("amends_batch_bytes_max", default=None)
_FIRST_TRY = 8
_XERIAL = b"\x82SNAPPY\x00"
_GZIP = 31
"""zlib's word for: expect a gzip header."""


class BatchTooLarge(Exception):
    """A compressed batch unpacks to more than the limit."""

    def __init__(self, compressed: int, limit: int) -> None:
        super().__init__(f"a batch of {compressed} bytes unpacks to more than {limit}")


@contextmanager
def limited_to(size_bytes: int) -> Iterator[None]:
    """Let no batch that is unpacked inside this block grow beyond `size_bytes`: `BatchTooLarge` is raised instead."""
    token = _limit.set(size_bytes)
    try:
        yield
    finally:
        _limit.reset(token)


def unpack_gzip(data: bytes, limit: int) -> bytes:
    """Unpack one or more gzip members."""
    parts: list[bytes] = []
    room = limit
    while data:
        member = zlib.decompressobj(wbits=_GZIP)
        part = member.decompress(data, room + 1)
        room -= len(part)
        if room < 0:
            raise BatchTooLarge(len(data), limit)
        if not member.eof:
            raise ValueError("the gzip stream is cut off")
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)


def unpack_snappy(data: bytes, limit: int) -> bytes:
    """Unpack snappy, raw or in the blocks of Java's snappy stream; each block says first how long it will be."""
    blocks = list(_xerial_blocks(data)) if data.startswith(_XERIAL) else [data]
    if sum(cramjam.snappy.decompress_raw_len(block) for block in blocks) > limit:
        raise BatchTooLarge(len(data), limit)
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def unpack_lz4(data: bytes, limit: int) -> bytes:
    """Unpack an lz4 frame."""
    return _into_growing_room(cramjam.lz4.decompress_into, data, limit)


def unpack_zstd(data: bytes, limit: int) -> bytes:
    """Unpack a zstd frame."""
    return _into_growing_room(cramjam.zstd.decompress_into, data, limit)


def _xerial_blocks(data: bytes) -> Iterator[bytes]:
    at = 16
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if size < 0 or at + 4 + size > len(data):
            raise ValueError("the snappy stream is cut off")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _into_growing_room(unpack_into: Callable[[bytes, bytearray], int], data: bytes, limit: int) -> bytes:
    """Unpack into a buffer that doubles until it suffices or the limit is reached; untouched pages cost nothing."""
    room = min(limit, max(64 * 1024, _FIRST_TRY * len(data)))
    while True:
        buffer = bytearray(room)
        try:
            size = unpack_into(data, buffer)
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
            if room == limit:
                raise BatchTooLarge(len(data), limit) from None
            room = min(limit, room * 4)
        else:
            return bytes(memoryview(buffer)[:size])


def _install() -> None:
    """Put a limited decoder before each of aiokafka's own, in the modules (C or Python) that call them."""
    ours = {
        "gzip_decode": unpack_gzip,
        "snappy_decode": unpack_snappy,
        "lz4_decode": unpack_lz4,
        "zstd_decode": unpack_zstd,
    }
    for module in _modules_that_unpack():
        for name, limited in ours.items():
            if hasattr(module, name):
                setattr(module, name, _limited(getattr(module, name), limited))


def _modules_that_unpack() -> list[ModuleType]:
    modules = [default_records, legacy_records]
    try:
        from aiokafka.record._crecords import default_records as c_default  # noqa: PLC0415  not there without C
        from aiokafka.record._crecords import legacy_records as c_legacy  # noqa: PLC0415
    except ImportError:
        return modules
    return [*modules, c_default, c_legacy]


def _limited(original: Callable[[Packed], bytes], unpack: Callable[[bytes, int], bytes]) -> Callable[[Packed], bytes]:
    def decode(data: Packed) -> bytes:
        limit = _limit.get()
        return original(data) if limit is None else unpack(bytes(data), limit)

    return decode


_install()
