"""The shards' chains in a bundle: which of its entries stand under a signed head, and who signed it.

A stretch begins with a head that nobody needs to believe: whatever it is, only the entries that were signed lead from
it to the next signed head.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from amends.coordinator.evidence.manifest import Segment
from amends.coordinator.reading.verify import Report
from amends.schemas.chain import next_head
from amends.schemas.ids import SagaId
from amends.schemas.signed_head import SignedHead
from amends.schemas.signing import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An entry of a run, at its place in the shard."""

    saga_id: SagaId
    version: int
    hash: str


@dataclass(slots=True, kw_only=True)
class Chains:
    """Takes signed heads, then stretches of chains. Without `keys` no signature is looked at."""

    report: Report
    keys: Sequence[PublicKey]
    store: str
    signed: dict[SagaId, int] = field(default_factory=dict)
    """Entries of each run that are under a signed head."""
    heads_used: set[tuple[int, int]] = field(default_factory=set)
    _heads: dict[tuple[int, int], SignedHead] = field(default_factory=dict)

    def take(self, signed: SignedHead, *, outside: bool = False) -> None:
        """Take a head of the bundle, or of a copy from `outside`, in which those of other stores are passed over."""
        where = f"shard {signed.shard}, position {signed.position}"
        if signed.store != self.store:
            if not outside:
                self.report.found("store", f"{where}: the signed head is of store {signed.store}, not {self.store}")
            return
        if self.keys and not self._is_signed(signed, where):
            return
        place = (signed.shard, signed.position)
        if self._heads.setdefault(place, signed).head != signed.head:
            self.report.found("head", f"{where}: two heads were signed for this position")

    def stretch(self, shard: int, segment: Segment, entries: dict[int, Placed]) -> None:
        """Follow a stretch; `entries` are those of the bundle's runs in this shard, by position."""
        head, waiting = segment.head, []
        start = self._heads.get((shard, segment.after))
        if start is not None and start.head != head:
            self.report.found("head", f"shard {shard}: the stretch behind {segment.after} begins with another head")
        for position, hashed in enumerate(segment.hashes, start=segment.after + 1):
            head = next_head(head, hashed)
            if (placed := entries.get(position)) is not None:
                if placed.hash == hashed:
                    waiting.append(placed)
                else:
                    self._other(placed, shard, position)
            if (signed := self._heads.get((shard, position))) is not None:
                self._reached(shard, signed, head, waiting)
                waiting = []

    def _reached(self, shard: int, signed: SignedHead, head: str, waiting: Iterable[Placed]) -> None:
        if signed.head != head:
            detail = f"shard {shard}: the entries up to position {signed.position} do not give the head signed there"
            self.report.found("head", detail)
            return
        self.heads_used.add((shard, signed.position))
        for placed in waiting:
            self.signed[placed.saga_id] = self.signed.get(placed.saga_id, 0) + 1

    def _other(self, placed: Placed, shard: int, position: int) -> None:
        detail = f"at position {position} of shard {shard} stood another entry when its head was signed"
        self.report.found("position", detail, saga_id=placed.saga_id, version=placed.version)

    def _is_signed(self, signed: SignedHead, where: str) -> bool:
        key = next((key for key in self.keys if key.key_id == signed.key_id), None)
        if key is None:
            self.report.found("key", f"{where}: the signed head is by key {signed.key_id}, which was not given")
            return False
        if not signed.is_by(key):
            self.report.found("signature", f"{where}: the signature is not that of key {signed.key_id}")
            return False
        return True
