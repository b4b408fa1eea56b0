"""Verifying the log: gapless versions, hashes, links, positions and heads, from the store or from the topic alone.

A fault is named by what it breaks: `hash` (bytes that do not have the hash they carry), `link` (an entry that does not
name the one before it), `gap` (versions that are missing), `position` (a place in the shard that is missing or wrong),
`head` (a shard's or an outcome's word for the end that the entries do not bear out), `undecodable`. Those that only an
external copy of signed heads shows are in `evidence/held_heads.py`, those of a bundle's parts in `evidence/opening.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.state import State
from amends.schemas.canonical import encode, sha256_hex
from amends.schemas.entry import Entry, MalformedEntry, decode, unseal
from amends.schemas.ids import SagaId

FaultName = Literal[
    "hash", "link", "gap", "position", "head", "undecodable",
    "tail", "back", "signature", "key", "store",
    "payload", "definition", "row", "outcome",
]  # fmt: skip


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `saga_id` and `version` are null where it is a shard's."""

    saga_id: str | None
    version: int | None
    fault: FaultName
    detail: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What was looked at, and what was found."""

    runs: int = 0
    entries: int = 0
    archived: int = 0
    """Entries that have moved to an archive: of them only places and hashes are here."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults

    def found(self, fault: FaultName, detail: str, *, saga_id: str | None = None, version: int | None = None) -> None:
        """Note a fault."""
        self.faults.append(Fault(saga_id=saga_id, version=version, fault=fault, detail=detail))


@dataclass(slots=True)
class Chain:
    """One run's entries, taken one by one; it goes on after a fault, so that every fault is named once."""

    saga_id: SagaId
    report: Report
    version: int = 0
    hash: str = ""
    state: State | None = None
    hashes: dict[int, str] = field(default_factory=dict)
    """Hashes of the versions that `wanted` names."""
    wanted: frozenset[int] = frozenset()
    sound: bool = True
    """Whether the fold still stands on every entry from the first."""

    def take(self, data: bytes) -> Entry | None:
        """Hold the next entry against what came before; None if it cannot be read."""
        self.report.entries += 1
        entry = self._decoded(data)
        if entry is None:
            self.sound = False
            return None
        self._linked(entry)
        self.version, self.hash = entry.version, entry.hash
        if entry.version in self.wanted:
            self.hashes[entry.version] = entry.hash
        self._folded(entry)
        return entry

    def skip(self, version: int, entry_hash: str) -> None:
        """Take what the store kept of an entry that has moved to an archive: where it stood, and its hash."""
        self.report.archived += 1
        if version != self.version + 1:
            self._found("gap", f"archived version {version} comes after version {self.version}", version)
        self.version, self.hash = version, entry_hash
        if version in self.wanted:
            self.hashes[version] = entry_hash
        self.sound, self.state = False, None

    def _decoded(self, data: bytes) -> Entry | None:
        expected = self.version + 1
        try:
            entry = decode(data)
            body = unseal(data)
        except MalformedEntry as error:
            self._found("undecodable", str(error), expected)
            self.version, self.hash = expected, ""
            return None
        if entry.saga_id != self.saga_id:
            self._found("undecodable", f"it is an entry of run {entry.saga_id}", expected)
        if sha256_hex(body) != entry.hash:
            self._found("hash", "its bytes do not have the hash that they carry", entry.version)
            self.sound = False
        elif encode(entry) != data:
            self._found("undecodable", "it is not in canonical form", entry.version)
        return entry

    def _linked(self, entry: Entry) -> None:
        if entry.version <= self.version:
            self._found("link", f"version {entry.version} comes after version {self.version}", entry.version)
            self.sound = False
        elif entry.version > self.version + 1:
            first, last = self.version + 1, entry.version - 1
            missing = f"version {first} is" if first == last else f"versions {first} to {last} are"
            self._found("gap", f"{missing} missing", first)
            self.sound = False
        elif self.hash != entry.previous_hash and (self.hash or self.version == 0):
            self._found("link", "it does not name the hash of the entry before it", entry.version)
            self.sound = False

    def _folded(self, entry: Entry) -> None:
        if not self.sound:
            self.state = None
            return
        try:
            self.state = fold_entry(self.state, entry)
        except Exception as error:  # noqa: BLE001  whatever it is, the history cannot be folded
            self._found("undecodable", f"it cannot be folded: {type(error).__name__}: {error}", entry.version)
            self.sound = False

    def _found(self, fault: FaultName, detail: str, version: int) -> None:
        self.report.found(fault, detail, saga_id=self.saga_id, version=version)


def runs_of(chains: dict[SagaId, Chain]) -> Iterator[Chain]:
    """In the order of their ids."""
    for saga_id in sorted(chains):
        yield chains[saga_id]
