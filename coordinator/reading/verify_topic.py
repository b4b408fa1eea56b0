"""Verifying runs from their topics alone: the audit records, and what the outcome records say of them.

Outcomes are read first: whatever an outcome names was published in the audit topic before it, so an end of the chain
below an outcome's `log_version` is a deleted tail.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from amends.coordinator.reading.verify import Chain, Report, runs_of
from amends.schemas.entry import MalformedEntry, decode
from amends.schemas.ids import SagaId
from amends.schemas.outcome import Outcome
from amends.schemas.record import Record


@dataclass(slots=True)
class TopicVerification:
    """Takes outcomes, then audit records in the order of their partitions; `only` is the one run looked at."""

    only: SagaId | None = None
    report: Report = field(default_factory=Report)
    _ends: dict[SagaId, dict[int, str]] = field(default_factory=dict)
    _chains: dict[SagaId, Chain] = field(default_factory=dict)
    _kept: dict[SagaId, dict[int, str]] = field(default_factory=dict)
    """Hash of every version of a run that is not verified to its end yet: it tells a repetition from a change."""

    def outcome(self, outcome: Outcome) -> None:
        """Remember what the outcome says of its run's chain."""
        if self.only in {None, outcome.saga_id}:
            self._ends.setdefault(SagaId(outcome.saga_id), {})[outcome.log_version] = outcome.log_hash

    def record(self, record: Record) -> None:
        """Take one audit record."""
        saga_id = SagaId((record.key or b"").decode(errors="replace"))
        if self.only not in {None, saga_id}:
            return
        where = f"{record.topic} {record.partition}@{record.offset}"
        if record.unreadable is not None or record.value is None:
            self.report.found("undecodable", f"{where}: {record.unreadable or 'it has no value'}", saga_id=saga_id)
            return
        chain = self._chains.get(saga_id)
        if chain is None:
            chain = self._chains[saga_id] = Chain(saga_id, self.report)
            chain.wanted = frozenset(self._ends.get(saga_id, ()))
            self._kept[saga_id] = {}
        if not self._is_repetition(chain, record.value):
            entry = chain.take(record.value)
            if entry is not None:
                self._kept[saga_id].setdefault(entry.version, entry.hash)

    def finish(self, *, known: Iterable[SagaId] = ()) -> Report:
        """Hold the ends against the outcomes. `known`: runs that must be there."""
        for saga_id in (self._ends.keys() | set(known)) - self._chains.keys():
            version = max(self._ends.get(saga_id, {0: ""}))
            self.report.found("gap", "no entry of the run is in the topic", saga_id=saga_id, version=version)
        for chain in runs_of(self._chains):
            for version, log_hash in sorted(self._ends.get(chain.saga_id, {}).items()):
                self._hold(chain, version, log_hash)
        self.report.runs = len(self._chains)
        return self.report

    def _hold(self, chain: Chain, version: int, log_hash: str) -> None:
        if version > chain.version:
            first = chain.version + 1
            detail = f"the topic ends at version {chain.version}, an outcome names version {version}"
            self.report.found("gap", detail, saga_id=chain.saga_id, version=first)
        elif version in chain.hashes and chain.hashes[version] != log_hash:
            detail = "an outcome names another hash for this version"
            self.report.found("head", detail, saga_id=chain.saga_id, version=version)

    def _is_repetition(self, chain: Chain, data: bytes) -> bool:
        """A relay may publish an entry again: the same version with the same hash is no news."""
        try:
            entry = decode(data)
        except MalformedEntry:
            return False
        return entry.version <= chain.version and self._kept[chain.saga_id].get(entry.version) == entry.hash
