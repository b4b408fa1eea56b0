"""Avro's binary encoding, read with every declared length checked before it is acted on (Avro 1.12 specification).

Each function takes bytes, an offset and the reading's `Progress`, and returns the value and the offset after it. At
the end of the bytes they raise `IndexError`, in bad text `UnicodeDecodeError`, otherwise `Undecodable`; `explained`
makes one of the three.
"""

import struct
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from amends.schemas.numbers import number_of_float
from amends.schemas.strict_json import DEPTH_MAX
from amends.schemas.undecodable import Undecodable

FREE_VALUES_MAX: Final = 100_000
"""Values that take no bytes (`null`, an empty record) which one datum may hold."""


class Progress:
    """What bounds one reading: how deep it is, and how many values it may still make out of nothing."""

    __slots__ = ("depth", "free")

    def __init__(self) -> None:
        self.depth = 0
        self.free = FREE_VALUES_MAX

    def make(self, count: int) -> None:
        """Pay for values that take no bytes: they are bounded by nothing else."""
        self.free -= count
        if self.free < 0:
            raise Undecodable(f"more than {FREE_VALUES_MAX} values that take no bytes")

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise Undecodable(f"nested deeper than {DEPTH_MAX} levels")


Read = Callable[[bytes, int, Progress], tuple[Any, int]]
"""Reads at an offset; returns the value and the offset after it."""


FAULTS: Final = (Undecodable, IndexError, UnicodeDecodeError, struct.error)


def explained(fault: Exception) -> Undecodable:
    if isinstance(fault, Undecodable):
        return fault
    if isinstance(fault, UnicodeDecodeError):
        return Undecodable(f"a text is not UTF-8: {fault.reason}")
    return Undecodable("the bytes end inside a value")


def _null(_data: bytes, at: int, _progress: Progress) -> tuple[None, int]:
    return None, at


def _boolean(data: bytes, at: int, _progress: Progress) -> tuple[bool, int]:
    if data[at] > 1:
        raise Undecodable(f"a boolean is 0 or 1, not {data[at]}")
    return data[at] == 1, at + 1


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag varint of 64 bits. Raises `IndexError` at the end of the bytes."""
    byte = data[at]
    at += 1
    if byte < 0x80:  # noqa: PLR2004 - the continuation bit
        return (byte >> 1) ^ -(byte & 1), at
    number, shift = byte & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            break
        shift += 7
        if shift > _SHIFT_MAX:
            raise Undecodable("a number of more than 64 bits")
    if number >> 64:
        raise Undecodable("a number of more than 64 bits")
    return (number >> 1) ^ -(number & 1), at


_SHIFT_MAX: Final = 63


def _long(data: bytes, at: int, _progress: Progress) -> tuple[int, int]:
    return read_long(data, at)


def _int(data: bytes, at: int, _progress: Progress) -> tuple[int, int]:
    number, at = read_long(data, at)
    if not -(2**31) <= number < 2**31:
        raise Undecodable(f"{number} is no int of 32 bits")
    return number, at


def _float(data: bytes, at: int, _progress: Progress) -> tuple[object, int]:
    return number_of_float(_FLOAT.unpack_from(data, at)[0]), at + 4


def _double(data: bytes, at: int, _progress: Progress) -> tuple[object, int]:
    return number_of_float(_DOUBLE.unpack_from(data, at)[0]), at + 8


_FLOAT: Final = struct.Struct("<f")
_DOUBLE: Final = struct.Struct("<d")


def read_raw_bytes(data: bytes, at: int, _progress: Progress) -> tuple[bytes, int]:
    size, at = read_long(data, at)
    end = at + size
    if size < 0 or end > len(data):
        raise Undecodable(f"a length of {size} with {len(data) - at} bytes left")
    return data[at:end], end


def _bytes(data: bytes, at: int, progress: Progress) -> tuple[str, int]:
    raw, at = read_raw_bytes(data, at, progress)
    return b64encode(raw).decode(), at


def _string(data: bytes, at: int, _progress: Progress) -> tuple[str, int]:
    size, at = read_long(data, at)
    end = at + size
    if size < 0 or end > len(data):
        raise Undecodable(f"a length of {size} with {len(data) - at} bytes left")
    return data[at:end].decode(), end


PRIMITIVES: Final[Mapping[str, Read]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _double,
    "bytes": _bytes,
    "string": _string,
}


def base64_of(raw: bytes) -> str:
    return b64encode(raw).decode()


def converted(read: Read, convert: Callable[[Any], object]) -> Read:
    def read_converted(data: bytes, at: int, progress: Progress) -> tuple[object, int]:
        raw, at = read(data, at, progress)
        return convert(raw), at

    return read_converted


def fixed_of(size: int) -> Read:
    def read_fixed(data: bytes, at: int, _progress: Progress) -> tuple[bytes, int]:
        if at + size > len(data):
            raise Undecodable(f"{size} bytes declared with {len(data) - at} left")
        return data[at : at + size], at + size

    return read_fixed


def enum_of(symbols: Sequence[str]) -> Read:
    def read_enum(data: bytes, at: int, _progress: Progress) -> tuple[str, int]:
        index, at = read_long(data, at)
        if not 0 <= index < len(symbols):
            raise Undecodable(f"symbol {index} of an enum that has {len(symbols)}")
        return symbols[index], at

    return read_enum


def union_of(branches: Sequence[Read]) -> Read:
    def read_union(data: bytes, at: int, progress: Progress) -> tuple[object, int]:
        index, at = read_long(data, at)
        if not 0 <= index < len(branches):
            raise Undecodable(f"branch {index} of a union that has {len(branches)}")
        return branches[index](data, at, progress)

    return read_union


def record_of(fields: Sequence[tuple[str, Read]], unpaid: int) -> Read:
    def read_record(data: bytes, at: int, progress: Progress) -> tuple[dict[str, object], int]:
        progress.enter()
        if unpaid:
            progress.make(unpaid)
        value: dict[str, object] = {}
        name = ""
        try:
            for name, read in fields:
                value[name], at = read(data, at, progress)
        except FAULTS as fault:
            raise explained(fault).under(name) from None
        progress.depth -= 1
        return value, at

    return read_record


def _block(data: bytes, at: int, least: int) -> tuple[int, int, int | None]:
    """Read the head of a block of items: how many, where they start, and where they end if it says so."""
    count, at = read_long(data, at)
    end = None
    if count < 0:
        count = -count
        size, at = read_long(data, at)
        end = at + size
        if size < 0 or end > len(data):
            raise Undecodable(f"a block of {size} bytes with {len(data) - at} left")
    if count * least > len(data) - at:
        raise Undecodable(f"{count} items declared with {len(data) - at} bytes left")
    return count, at, end


def _ended(at: int, end: int | None) -> None:
    if end is not None and at != end:
        raise Undecodable("a block's size is not that of its items")


def array_of(read: Read, least: int) -> Read:
    def read_array(data: bytes, at: int, progress: Progress) -> tuple[list[object], int]:
        progress.enter()
        items: list[object] = []
        while True:
            count, at, end = _block(data, at, least)
            if count == 0:
                break
            if least == 0:
                progress.make(count)
            try:
                for _ in range(count):
                    item, at = read(data, at, progress)
                    items.append(item)
            except FAULTS as fault:
                raise explained(fault).under(len(items)) from None
            _ended(at, end)
        progress.depth -= 1
        return items, at

    return read_array


def map_of(read: Read, least: int) -> Read:
    def read_map(data: bytes, at: int, progress: Progress) -> tuple[dict[str, object], int]:
        progress.enter()
        value: dict[str, object] = {}
        while True:
            count, at, end = _block(data, at, least)
            if count == 0:
                break
            for _ in range(count):
                key, at = _string(data, at, progress)
                if key in value:
                    raise Undecodable("the same key stands there twice", key)
                try:
                    value[key], at = read(data, at, progress)
                except FAULTS as fault:
                    raise explained(fault).under(key) from None
            _ended(at, end)
        progress.depth -= 1
        return value, at

    return read_map
