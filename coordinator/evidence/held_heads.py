"""Signed heads held against the log: what an external copy of them knows, the log must bear out.

Who can write to the store can rewrite a whole run, renumber a shard and sign nothing; the copy knows better. Faults, as
`amends audit verify` names them: `head` (the log's entries up to a signed position are other ones), `tail` (the log
ends before it), `back` (a shard was signed at a lower position later on), `signature`, `key` (signed by one that was
not given), `store` (the heads are another store's), `undecodable`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from amends.coordinator.reading.verify import Report
from amends.schemas.signed_head import SignedHead
from amends.schemas.signing import PublicKey


class SignedShard(msgspec.Struct, frozen=True, kw_only=True):
    """How far a shard is vouched for: `signed` is the highest position whose signed head the log bears out."""

    shard: int
    heads: int
    signed: int
    position: int


@dataclass(slots=True)
class _Shard:
    heads: dict[int, str] = field(default_factory=dict)
    """The signed head of each position."""
    highest: int = 0
    highest_at: str = ""
    good: int = 0
    bad: int | None = None
    """The first position whose head is another one."""
    bad_count: int = 0


@dataclass(slots=True, kw_only=True)
class HeldHeads:
    """Takes signed heads in their order, then the log's heads position by position, shard by shard."""

    report: Report
    keys: Sequence[PublicKey]
    store: str
    """The id of the store that the heads must be of."""
    others_too: bool = False
    """Whether heads of other stores may be among them: they are passed over."""
    _shards: dict[int, _Shard] = field(default_factory=dict)
    _keys_missed: dict[str, int] = field(default_factory=dict)
    _others: dict[str, int] = field(default_factory=dict)
    _ends: dict[int, int] = field(default_factory=dict)
    """How far each shard's entries go, whatever its row says."""

    def take(self, signed: SignedHead) -> None:
        """Take the next of the external copy."""
        if signed.store != self.store:
            self._others[signed.store] = self._others.get(signed.store, 0) + 1
            return
        where = f"shard {signed.shard}, position {signed.position}"
        key = next((key for key in self.keys if key.key_id == signed.key_id), None)
        if key is None:
            self._keys_missed[signed.key_id] = self._keys_missed.get(signed.key_id, 0) + 1
            return
        if not signed.is_by(key):
            self.report.found("signature", f"{where}: the signature is not that of key {signed.key_id}")
            return
        shard = self._shards.setdefault(signed.shard, _Shard())
        if shard.heads.setdefault(signed.position, signed.head) != signed.head:
            self.report.found("head", f"{where}: two heads were signed for this position")
        if signed.position < shard.highest and signed.at > shard.highest_at:
            detail = f"{where}: it was signed when the shard had been at {shard.highest} before, so the log went back"
            self.report.found("back", detail)
        if signed.position > shard.highest:
            shard.highest, shard.highest_at = signed.position, signed.at

    def at(self, shard: int, position: int, head: str) -> None:
        """The log's own head over its entries up to this position."""
        self._ends[shard] = position
        known = self._shards.get(shard)
        wanted = None if known is None else known.heads.get(position)
        if known is None or wanted is None:
            return
        if wanted != head:
            known.bad_count += 1
            known.bad = position if known.bad is None else known.bad
        elif known.bad is None:
            known.good = position

    def finish(self, shards: Iterable[int]) -> list[SignedShard]:
        """Report what the log, which has these shards, does not bear out."""
        for number, shard in sorted(self._shards.items()):
            self._judge(number, shard, self._ends.get(number, 0))
        for key_id, count in self._keys_missed.items():
            self.report.found("key", f"{_heads(count)} by key {key_id}, which was not given")
        if not self.others_too:
            for store, count in self._others.items():
                detail = f"{_heads(count)} of store {store}, this one is {self.store}"
                self.report.found("store", detail)
        return [self._told(number) for number in sorted({*shards, *self._shards})]

    def _judge(self, number: int, shard: _Shard, position: int) -> None:
        if shard.bad is not None:
            later = f" (nor at {shard.bad_count - 1} later ones)" if shard.bad_count > 1 else ""
            detail = (
                f"shard {number}: the entries up to position {shard.bad} do not give the head that was signed there"
            )
            self.report.found("head", f"{detail}{later}; {_last(shard)}")
        if shard.highest > position:
            detail = f"shard {number}: the log ends at position {position}, a head was signed at {shard.highest}"
            self.report.found("tail", f"{detail} ({shard.highest_at}); {_last(shard)}")

    def _told(self, number: int) -> SignedShard:
        shard, position = self._shards.get(number) or _Shard(), self._ends.get(number, 0)
        return SignedShard(shard=number, heads=len(shard.heads), signed=shard.good, position=position)


def _heads(count: int) -> str:
    return "1 signed head is" if count == 1 else f"{count} signed heads are"


def _last(shard: _Shard) -> str:
    return f"borne out up to position {shard.good}" if shard.good else "none is borne out"
