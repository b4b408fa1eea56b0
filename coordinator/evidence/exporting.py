"""Writing a bundle: some runs with everything that is needed to verify, show and replay them elsewhere.

What stands in the log goes out as it stands there: sealed payloads sealed, entries in their own bytes, whether or not
they verify. Judging them is for whoever opens it.
"""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import msgspec

from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.state import State
from amends.coordinator.evidence import faults
from amends.coordinator.evidence.manifest import (
    BUNDLE_BYTES_MAX,
    HEADS,
    MANIFEST,
    PARTS_MAX,
    RUNS_MAX,
    Manifest,
    definition_part,
    head_line,
    payload_part,
    run_part,
    shard_part,
    versions,
)
from amends.coordinator.evidence.tar import Writer
from amends.coordinator.ports.rows import RunRow, StoredEntry
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.history import stored
from amends.coordinator.reading.outcomes import has_outcome, outcome_of
from amends.schemas.canonical import encode
from amends.schemas.entry import Entry, External, Inline, MalformedEntry, decode
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.instants import text_of
from amends.schemas.outcome import OUTCOMES
from amends.schemas.signed_head import SignedHead

HASHES_MAX: Final = 1_000_000
"""Of all shards' chains together; a stretch beyond is left out, and its entries are under no signed head then."""
PAGE: Final = 500
_HASH: Final = b',"hash":"'


@dataclass(slots=True, kw_only=True)
class Export:
    """One bundle on its way into a file. `signed` are heads of any store and shard; those that fit go in."""

    store: Store
    file: BinaryIO
    signed: Iterable[SignedHead] = ()
    entries: int = 0
    covered: int = 0
    """Entries under a signed head."""

    _writer: Writer = field(init=False)
    _external: set[Digest] = field(default_factory=set)
    _definitions: set[str] = field(default_factory=set)
    _missing: list[str] = field(default_factory=list)
    _positions: dict[int, list[int]] = field(default_factory=dict)
    _hashes: int = 0

    def write(self, rows: Sequence[RunRow]) -> Manifest:
        """Write these runs. Raises `UsageError` (AM3023) for too much."""
        if len(rows) > RUNS_MAX:
            raise faults.too_large(f"{len(rows)} runs", f"{RUNS_MAX}")
        self._writer = Writer(self.file)
        ordered = sorted(rows, key=lambda row: row.saga_id)
        for row in ordered:
            self._run(row)
        for digest in sorted(self._definitions):
            self._definition(digest)
        for external in sorted(self._external):
            self._payload(external)
        self._shards()
        manifest = Manifest(
            store=self.store.incarnation(),
            made_at=text_of(self.store.now()),
            versions=versions(),
            runs=tuple(row.saga_id for row in ordered),
            missing=tuple(self._missing),
            parts=tuple(self._writer.parts),
        ).with_hash()
        self._put(MANIFEST, [manifest.text])
        self._writer.end()
        return manifest

    def _run(self, row: RunRow) -> None:
        """Up to the version that its row knows: a run may go on meanwhile."""
        positions: list[int] = []
        outcomes: list[bytes] = []
        self._definitions.add(row.definition_hash)
        self._put(run_part(row.saga_id, "entries.jsonl"), self._lines(row, positions, outcomes))
        self._put(run_part(row.saga_id, "outcomes.jsonl"), outcomes)
        said = {"positions": positions, "row": msgspec.to_builtins(row)}
        self._put(run_part(row.saga_id, "run.json"), [encode(said)])
        self._positions.setdefault(row.shard, []).extend(positions)
        self.entries += len(positions)

    def _lines(self, row: RunRow, positions: list[int], outcomes: list[bytes]) -> Iterator[bytes]:
        telling: _Telling | None = _Telling(self.store, row.saga_id)
        for entry in stored(self.store, row.saga_id):
            if entry.version > row.version:
                return
            positions.append(entry.position)
            yield entry.data + b"\n"
            try:
                decoded = decode(entry.data)
            except MalformedEntry:
                telling = None
                continue
            self._external.update(key for key, each in decoded.payloads.items() if isinstance(each, External))
            telling = telling and telling.took(decoded, outcomes)

    def _definition(self, digest: str) -> None:
        row = self.store.definition(digest)
        if row is None:
            self._missing.append(definition_part(digest))
        else:
            self._put(definition_part(digest), [row.body])

    def _payload(self, digest: Digest) -> None:
        data = self.store.blob(digest)
        if data is None:
            self._missing.append(payload_part(digest))
        else:
            self._put(payload_part(digest), [data])

    def _shards(self) -> None:
        """For each entry the stretch of its shard's chain from the signed head before it to the one behind it."""
        known = self._known()
        used: dict[tuple[int, int], SignedHead] = {}
        for shard in sorted(self._positions):
            heads = known.get(shard, {})
            stretches = _stretches(sorted(self._positions[shard]), sorted(heads))
            stretches = [(first, last) for first, last in stretches if self._fits(last - first)]
            if not stretches:
                continue
            lines = [self._stretch(shard, first, last, heads) for first, last in stretches]
            self._put(shard_part(shard), (piece for line in lines for piece in line))
            for first, last in stretches:
                used |= {(shard, each): heads[each] for each in (first, last) if each in heads}
                self.covered += sum(1 for each in self._positions[shard] if first < each <= last)
        if used:
            self._put(HEADS, (head_line(used[place]) for place in sorted(used)))

    def _known(self) -> dict[int, dict[int, SignedHead]]:
        store = self.store.incarnation()
        known: dict[int, dict[int, SignedHead]] = {}
        for each in self.signed:
            if each.store == store and each.shard in self._positions:
                known.setdefault(each.shard, {}).setdefault(each.position, each)
        return known

    def _fits(self, count: int) -> bool:
        if self._hashes + count > HASHES_MAX:
            return False
        self._hashes += count
        return True

    def _stretch(self, shard: int, first: int, last: int, heads: dict[int, SignedHead]) -> Iterator[bytes]:
        """A `Segment`'s canonical JSON, page by page."""
        yield b'{"after":%d,"hashes":[' % first
        separator = b""
        for position, hashed in heapq.merge(self._in_log(shard, first), self._moved(shard, first)):
            if position > last:
                break
            yield b'%b"%b"' % (separator, hashed)
            separator = b","
        head = heads[first].head if first in heads else ""
        yield b'],"head":%b}\n' % encode(head)

    def _in_log(self, shard: int, after: int) -> Iterator[tuple[int, bytes]]:
        """Position and hash of each entry."""
        while page := self.store.entries_from(shard, after=after, limit=PAGE):
            yield from ((entry.position, _claimed(entry)) for entry in page)
            after = page[-1].position

    def _moved(self, shard: int, after: int) -> Iterator[tuple[int, bytes]]:
        """The same of those that have moved to an archive."""
        while page := self.store.archived(shard, after=after, limit=PAGE):
            yield from ((row.position, row.hash.encode()) for row in page)
            after = page[-1].position

    def _put(self, name: str, pieces: Iterable[bytes]) -> None:
        if len(self._writer.parts) >= PARTS_MAX:
            raise faults.too_large(f"more than {PARTS_MAX} parts", f"{PARTS_MAX}")
        with self._writer.part(name) as write:
            for piece in pieces:
                write(piece)
                if self._writer.size_bytes > BUNDLE_BYTES_MAX:
                    raise faults.too_large(f"more than {BUNDLE_BYTES_MAX} bytes", f"{BUNDLE_BYTES_MAX}")


@dataclass(slots=True)
class _Telling:
    """Folds a run as it is written, and renders its outcomes from what the log holds."""

    store: Store
    saga_id: SagaId
    state: State | None = None

    def took(self, entry: Entry, outcomes: list[bytes]) -> "_Telling | None":
        """Itself; None once the history cannot be folded, which is for the reader to see."""
        try:
            self.state = fold_entry(self.state, entry)
            if has_outcome(entry.events):
                outcomes.append(_line(OUTCOMES.to_json(outcome_of(self.state, self._payload(entry.version)))))
        except Exception:  # noqa: BLE001  whatever it is, whoever opens the bundle is told of it
            return None
        return self

    def _payload(self, version: int) -> Callable[[Digest], bytes | None]:
        """Looked for where it stands, instead of kept: a run has few outcomes and many payloads."""

        def found(digest: Digest) -> bytes | None:
            for entry in stored(self.store, self.saga_id):
                if entry.version > version:
                    break
                payload = decode(entry.data).payloads.get(digest)
                if isinstance(payload, Inline):
                    return payload.inline.encode()
                if isinstance(payload, External) and digest.startswith("sha256:"):
                    return self.store.blob(digest)
            return None

        return found


def _stretches(positions: Sequence[int], heads: Sequence[int]) -> list[tuple[int, int]]:
    """From the signed position before to the one at or behind, for each position that has one behind it."""
    found: dict[tuple[int, int], None] = {}
    for position in positions:
        behind = bisect_left(heads, position)
        if behind < len(heads):
            found[heads[behind - 1] if behind else 0, heads[behind]] = None
    return list(found)


def _claimed(entry: StoredEntry) -> bytes:
    """The hash that an entry carries; nothing where it carries none."""
    claimed = entry.data.partition(_HASH)[2][:64]
    return claimed if claimed.isalnum() else b""


def _line(data: bytes) -> bytes:
    """JSON on a line of its own: a line break in it is white space between tokens."""
    return data.replace(b"\n", b" ") + b"\n"
