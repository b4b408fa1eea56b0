"""The file form of a bundle: a tar archive (POSIX ustar) that has one form only, byte by byte.

Every program unpacks it, nothing in it is compressed, so it is never larger unpacked, and each header follows from a
part's name and size: a byte that is not as it must be is found, wherever it stands.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import BinaryIO, Final

import msgspec

BLOCK_BYTES: Final = 512
NAME_BYTES_MAX: Final = 100
PART_BYTES_MAX: Final = 8**11 - 1
END: Final = bytes(2 * BLOCK_BYTES)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part as the manifest lists it."""

    name: str
    size_bytes: int
    sha256: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a part's bytes stand in the file."""

    name: str
    offset: int
    size_bytes: int


class NotThis(ValueError):
    """The file is no such archive; `part` is where that shows, empty where none can be named."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(why)
        self.part = part
        self.why = why


def header(name: str, size_bytes: int) -> bytes:
    """The one header of a part: a plain file, readable by all, of nobody and of the beginning of time."""
    fields = (
        name.encode().ljust(NAME_BYTES_MAX, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,
        b"%011o\0" % size_bytes,
        b"%011o\0" % 0,
        b" " * 8,
        b"0" + bytes(100),
        b"ustar\00000",
        bytes(64) + b"0000000\0" * 2 + bytes(167),
    )
    block = b"".join(fields)
    assert len(block) == BLOCK_BYTES, "ustar's header is one block"
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


class Writer:
    """Writes parts one after the other; a part's header is filled in once its size is known."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.parts: list[Part] = []
        self.size_bytes = 0

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Give what takes the part's bytes, piece by piece."""
        assert len(name.encode()) <= NAME_BYTES_MAX, "names of parts are short"
        start, size, hashed = self._file.tell(), 0, sha256()
        self._file.write(bytes(BLOCK_BYTES))

        def write(data: bytes) -> None:
            nonlocal size
            size += len(data)
            self.size_bytes += len(data)
            hashed.update(data)
            self._file.write(data)

        yield write
        self._file.write(bytes(-size % BLOCK_BYTES))
        end = self._file.tell()
        self._file.seek(start)
        self._file.write(header(name, size))
        self._file.seek(end)
        self.parts.append(Part(name=name, size_bytes=size, sha256=hashed.hexdigest()))

    def end(self) -> None:
        """After the last part."""
        self._file.write(END)


def places(file: BinaryIO, *, size_bytes: int, most: int) -> list[Place]:
    """Every part's place. Raises `NotThis` for what `Writer` would not have written, or more than `most` parts."""
    found: list[Place] = []
    at = 0
    while True:
        file.seek(at)
        block = file.read(BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            raise NotThis("", "it ends without the end of an archive")
        if not any(block):
            _ends(file, at, size_bytes)
            return found
        place = _place(block, at)
        at = place.offset + place.size_bytes + -place.size_bytes % BLOCK_BYTES
        if at > size_bytes:
            raise NotThis("", f"it ends in the middle of part {place.name!r}")
        file.seek(place.offset + place.size_bytes)
        if any(file.read(at - place.offset - place.size_bytes)):
            raise NotThis(place.name, "has something behind its end")
        if len(found) == most:
            raise NotThis("", f"it has more than {most} parts")
        found.append(place)


def _place(block: bytes, at: int) -> Place:
    raw = block[:NAME_BYTES_MAX].rstrip(b"\0")
    try:
        name, size = raw.decode("ascii"), int(block[124:135], 8)
    except ValueError:
        raise NotThis("", f"there is no header of a part at byte {at}") from None
    if not 0 <= size <= PART_BYTES_MAX or header(name, size) != block:
        raise NotThis(name, "has a header that is not the one of a bundle's part")
    return Place(name=name, offset=at + BLOCK_BYTES, size_bytes=size)


def _ends(file: BinaryIO, at: int, size_bytes: int) -> None:
    file.seek(at)
    if file.read(len(END)) != END:
        raise NotThis("", "it ends without the end of an archive")
    if size_bytes != at + len(END):
        raise NotThis("", "there is something behind its end")
