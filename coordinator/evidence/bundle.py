"""A bundle that was opened: its parts, each with the bytes that its manifest says, or a refusal that names the part."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from amends.coordinator.errors import FoundFault
from amends.coordinator.evidence import faults
from amends.coordinator.evidence.manifest import (
    FORMAT,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    PARTS_MAX,
    Manifest,
    format_of,
    is_name,
    read_manifest,
)
from amends.coordinator.evidence.tar import NotThis, Part, Place, places

_PIECE_BYTES: Final = 1024 * 1024
LINE_BYTES_MAX: Final = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Reads parts. Whatever it gives has the hash that the manifest says."""

    name: str
    file: BinaryIO
    manifest: Manifest
    places: Mapping[str, Place]

    def __contains__(self, part: object) -> bool:
        return part in self.places

    def read(self, part: str) -> bytes:
        """A whole part."""
        place = self.places[part]
        self.file.seek(place.offset)
        return self.file.read(place.size_bytes)

    def lines(self, part: str) -> Iterator[bytes]:
        """A part's lines, without their ends."""
        place = self.places[part]
        at, end = place.offset, place.offset + place.size_bytes
        while at < end:
            self.file.seek(at)
            line = self.file.readline(min(LINE_BYTES_MAX, end - at))
            at += len(line)
            yield line.removesuffix(b"\n")

    def parts(self, folder: str) -> Iterator[str]:
        """Names of the parts in a folder, in their order."""
        return (part.name for part in self.manifest.parts if part.name.startswith(f"{folder}/"))

    def broken(self, part: str, why: str) -> FoundFault:
        """A part that has its hash, and is not what its name says."""
        return faults.altered(self.name, part, why)

    def close(self) -> None:
        self.file.close()


def open_bundle(path: Path) -> Bundle:
    """Open and verify the container. Raises `UsageError` (AM3022, AM3024) or `FoundFault` (AM3020, AM3021)."""
    name = str(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise faults.unreadable(name, error.strerror or str(error)) from error
    try:
        return _opened(name, file)
    except OSError as error:
        file.close()
        raise faults.unreadable(name, error.strerror or str(error)) from error
    except BaseException:
        file.close()
        raise


def _opened(name: str, file: BinaryIO) -> Bundle:
    size_bytes = file.seek(0, os.SEEK_END)
    try:
        found = places(file, size_bytes=size_bytes, most=PARTS_MAX + 1)
    except NotThis as error:
        raise faults.altered(name, error.part, error.why) if error.part else faults.no_bundle(name, error.why) from None
    _well_named(name, found)
    manifest = _manifest(name, file, found)
    for place, part in zip_longest(found[:-1], manifest.parts):
        _held(name, file, place, part)
    return Bundle(name=name, file=file, manifest=manifest, places={place.name: place for place in found})


def _well_named(name: str, found: list[Place]) -> None:
    seen: set[str] = set()
    for place in found:
        if not is_name(place.name):
            raise faults.altered(name, place.name, "has a name that no part of a bundle has")
        if place.name in seen:
            raise faults.altered(name, place.name, "is there twice")
        seen.add(place.name)


def _manifest(name: str, file: BinaryIO, found: list[Place]) -> Manifest:
    if not found or found[-1].name != MANIFEST:
        raise faults.no_bundle(name, "its last part is not a manifest")
    place = found[-1]
    if place.size_bytes > MANIFEST_BYTES_MAX:
        raise faults.altered(name, MANIFEST, f"is larger than {MANIFEST_BYTES_MAX} bytes")
    file.seek(place.offset)
    data = file.read(place.size_bytes)
    try:
        if (newer := format_of(data)) > FORMAT:
            raise faults.newer(name, found=newer, known=FORMAT)
        manifest = read_manifest(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise faults.altered(name, MANIFEST, f"is no manifest: {error}") from None
    if not manifest.is_whole:
        raise faults.altered(name, MANIFEST, "does not have the hash that it carries")
    return manifest


def _held(name: str, file: BinaryIO, place: Place | None, part: Part | None) -> None:
    """Hold a part against the manifest's word."""
    if place is None:
        assert part is not None, "one of the two is there"
        raise faults.altered(name, part.name, "is missing")
    if part is None:
        raise faults.altered(name, place.name, "is not in the manifest")
    if place.name != part.name:
        raise faults.altered(name, place.name, f"stands where the manifest has {part.name!r}")
    if place.size_bytes != part.size_bytes:
        why = f"has {place.size_bytes} bytes, the manifest says {part.size_bytes}"
        raise faults.altered(name, part.name, why)
    if _hashed(file, place) != part.sha256:
        raise faults.altered(name, part.name, "does not have the hash that the manifest says")


def _hashed(file: BinaryIO, place: Place) -> str:
    hashed, left = sha256(), place.size_bytes
    file.seek(place.offset)
    while left:
        piece = file.read(min(_PIECE_BYTES, left))
        if not piece:
            break
        hashed.update(piece)
        left -= len(piece)
    return hashed.hexdigest()
