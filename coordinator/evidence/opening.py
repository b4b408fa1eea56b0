"""Verifying what a bundle holds, its container being whole: chains, payloads, definitions, signed heads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from amends.coordinator.core.state import State
from amends.coordinator.core.verifying import open_verifications
from amends.coordinator.definition.form import graph_hash
from amends.coordinator.evidence.bundle import Bundle
from amends.coordinator.evidence.bundle_log import BundleLog
from amends.coordinator.evidence.chains import Chains, Placed
from amends.coordinator.evidence.head_files import BadLine, heads_in
from amends.coordinator.evidence.manifest import HEADS, Segment, definition_part, payload_part, run_part, shard_part
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.reading.outcomes import has_outcome, outcome_of
from amends.coordinator.reading.verify import Chain, Report
from amends.coordinator.sealing.keys import is_sealed
from amends.schemas.canonical import digest
from amends.schemas.entry import Entry, External, Inline, Sealed, decode
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.outcome import OUTCOMES
from amends.schemas.signed_head import SignedHead
from amends.schemas.signing import PublicKey
from amends.schemas.undecodable import Undecodable

_OF_ROW: Final = (
    "namespace", "saga", "definition_version", "definition_hash", "idempotency_key", "business_key", "generation",
    "status", "cause", "started_at",
)  # fmt: skip
"""What the index of runs says that the entries say too."""
_PLAIN: Final = "sha256:"
"""What the digest of a value begins with that anybody can compute; of a sealed one only its subject's key can."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a bundle holds, and what is wrong with it."""

    report: Report = field(default_factory=Report)
    payloads: dict[str, int] = field(default_factory=lambda: {"inline": 0, "external": 0, "sealed": 0})
    outcomes: int = 0
    signed: dict[SagaId, int] = field(default_factory=dict)
    heads: int = 0
    """Signed heads that the entries lead to."""


def verify(log: BundleLog, *, keys: Sequence[PublicKey] = (), outside: Iterable[SignedHead | BadLine] = ()) -> Findings:
    """Look at everything. `outside` are signed heads that whoever opens the bundle has from elsewhere."""
    found = Findings()
    places: dict[int, dict[int, Placed]] = {}
    external: dict[Digest, int] = {}
    for row in log.rows:
        _Run(log, row, found, external).verify(places.setdefault(row.shard, {}))
    for name, size_bytes in sorted(external.items()):
        value_beside(log.bundle, name, size_bytes, found)
    for name in sorted({row.definition_hash for row in log.rows}):
        _definition(log, name, found.report)
    chains = Chains(report=found.report, keys=keys, store=log.bundle.manifest.store)
    _heads(log.bundle, chains, outside)
    for shard, entries in sorted(places.items()):
        for segment in _segments(log.bundle, shard_part(shard)):
            chains.stretch(shard, segment, entries)
    found.report.runs = len(log.rows)
    found.signed, found.heads = chains.signed, len(chains.heads_used)
    return found


@dataclass(slots=True)
class _Run:
    log: BundleLog
    row: RunRow
    found: Findings
    external: dict[Digest, int]
    """Values that lie beside the entries, and their size as the first entry that names one has it."""
    outcomes: dict[int, bytes] = field(default_factory=dict)
    """As the bundle has them, by the version of their entry."""

    def verify(self, places: dict[int, Placed]) -> None:
        """Its chain, its values, and what its row and its outcomes say of it."""
        bundle, saga_id = self.log.bundle, self.row.saga_id
        chain = Chain(saga_id, self.found.report)
        outcomes = list(bundle.lines(run_part(saga_id, "outcomes.jsonl")))
        ends = [self._outcome(line) for line in outcomes]
        chain.wanted = frozenset(version for version, _ in ends)
        positions, count = self.log.positions(saga_id), 0
        for count, line in enumerate(bundle.lines(run_part(saga_id, "entries.jsonl")), start=1):
            entry = chain.take(line)
            if entry is not None:
                self._values(entry)
                self._told(entry, chain.state)
                if count <= len(positions):
                    places[positions[count - 1]] = Placed(saga_id=saga_id, version=entry.version, hash=entry.hash)
        if count != len(positions):
            self._row(f"it has {count} entries, and the places of {len(positions)}")
        for version, log_hash in ends:
            if chain.hashes.get(version) != log_hash:
                detail = "an outcome names another hash for this version"
                self.found.report.found("head", detail, saga_id=saga_id, version=version)
        self._fits(chain)

    def _outcome(self, line: bytes) -> tuple[int, str]:
        self.found.outcomes += 1
        part = run_part(self.row.saga_id, "outcomes.jsonl")
        try:
            outcome = OUTCOMES.of_json(line)
        except Undecodable as error:
            raise self.log.bundle.broken(part, f"holds no outcome: {error}") from None
        if outcome.saga_id != self.row.saga_id:
            raise self.log.bundle.broken(part, f"holds an outcome of run {outcome.saga_id}")
        if outcome.log_version in self.outcomes:
            raise self.log.bundle.broken(part, f"holds two outcomes of version {outcome.log_version}")
        self.outcomes[outcome.log_version] = line
        return outcome.log_version, outcome.log_hash

    def _told(self, entry: Entry, state: State | None) -> None:
        """Tell the outcome anew, from the entries: what the bundle says of it must be the same."""
        if state is None or not has_outcome(entry.events):
            return
        line = self.outcomes.get(entry.version)
        said = None if line is None else msgspec.json.decode(line)
        told = msgspec.json.decode(OUTCOMES.to_json(outcome_of(state, self._value_at(entry.version))))
        if said is None:
            detail = "the bundle has no outcome of this entry"
        elif differing := [name for name in said if said[name] != told.get(name, said[name]) and name != "log_hash"]:
            detail = f"the outcome says another {', '.join(differing)} than the entries"
        else:
            return
        self.found.report.found("outcome", detail, saga_id=entry.saga_id, version=entry.version)

    def _value_at(self, version: int) -> Callable[[Digest], bytes | None]:
        """Looked for where it stands, as it was when it was told; sealed, it is told by nobody."""

        def found(name: Digest) -> bytes | None:
            for stored in self.log.entries_of(self.row.saga_id, limit=version):
                payload = decode(stored.data).payloads.get(name)
                if isinstance(payload, Inline):
                    return payload.inline.encode()
                if isinstance(payload, External) and name.startswith(_PLAIN):
                    return self.log.blob(name)
            return None

        return found

    def _values(self, entry: Entry) -> None:
        for name, payload in entry.payloads.items():
            if isinstance(payload, Sealed):
                self.found.payloads["sealed"] += 1
            elif isinstance(payload, External):
                self.external.setdefault(name, payload.external)
            elif isinstance(payload, Inline):
                self.found.payloads["inline"] += 1
                if name.startswith(_PLAIN) and digest(payload.inline.encode()) != name:
                    detail = f"the value under {name} has another digest"
                    self.found.report.found("payload", detail, saga_id=entry.saga_id, version=entry.version)

    def _fits(self, chain: Chain) -> None:
        """What the row says, held against the fold."""
        if chain.version != self.row.version:
            self._row(f"the index of runs knows version {self.row.version}, the entries end at {chain.version}")
        state = chain.state
        if state is None:
            return
        for name in _OF_ROW:
            said, folded = getattr(self.row, name), getattr(state, name)
            waits = said == "waiting" and self.row.waiting_for is not None
            if name == "status" and waits and (not state.closed or open_verifications(state)):
                continue  # What an open run waits for, a handler for instance, may be no event.
            if said != folded:
                self._row(f"the index of runs says {name} {said!r}, the entries give {folded!r}")

    def _row(self, detail: str) -> None:
        self.found.report.found("row", detail, saga_id=self.row.saga_id)


def value_beside(bundle: Bundle, name: Digest, size_bytes: int, found: Findings) -> None:
    """Look at a value that lies beside the entries; of a sealed one only its form can be told."""
    part = payload_part(name)
    found.payloads["external"] += 1
    if part not in bundle:
        why = "the store did not have it" if part in bundle.manifest.missing else "it is not in the bundle"
        found.report.found("payload", f"external payload {name}: {why}")
        return
    data = bundle.read(part)
    if name.startswith(_PLAIN) and digest(data) != name:
        found.report.found("payload", f"external payload {name}: its bytes have another digest")
    elif len(data) != size_bytes:
        found.report.found("payload", f"external payload {name}: it has {len(data)} bytes, not {size_bytes}")
    elif not name.startswith(_PLAIN) and not is_sealed(data):
        found.report.found("payload", f"external payload {name}: it is no sealed text")


def _definition(log: BundleLog, name: str, report: Report) -> None:
    part = definition_part(name)
    if part not in log.bundle:
        why = "the store did not have it" if part in log.bundle.manifest.missing else "it is not in the bundle"
        report.found("definition", f"definition {name}: {why}")
        return
    hashed = graph_hash(log.stored(part, log.bundle.read(part)).form)
    if hashed != name:
        report.found("definition", f"definition {name}: its graph has the hash {hashed}")


def _heads(bundle: Bundle, chains: Chains, outside: Iterable[SignedHead | BadLine]) -> None:
    if HEADS in bundle:
        for each in heads_in(bundle.lines(HEADS)):
            if isinstance(each, BadLine):
                raise bundle.broken(HEADS, f"holds no signed head: {each}")
            chains.take(each)
    for copied in outside:
        if isinstance(copied, BadLine):
            chains.report.found("undecodable", str(copied))
        else:
            chains.take(copied, outside=True)


def _segments(bundle: Bundle, part: str) -> Iterable[Segment]:
    if part not in bundle:
        return
    for line in bundle.lines(part):
        try:
            yield msgspec.json.decode(line, type=Segment)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise bundle.broken(part, f"holds no stretch of a chain: {error}") from None
