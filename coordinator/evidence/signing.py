"""Signing the heads of a store's shards: the row that every append moves, and the time of the entry it stands at."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec

from amends.coordinator.ports.rows import ShardRow
from amends.coordinator.ports.store import Store
from amends.schemas.signed_head import Head, SignedHead, sign
from amends.schemas.signing import PrivateKey


class _At(msgspec.Struct, frozen=True):
    at: str


_at = msgspec.json.Decoder(_At)


class NotThere(Exception):
    """The entry at the shard's head cannot be read: there is no time to sign the head with."""


@dataclass(kw_only=True)
class HeadSigner:
    """Reads and signs. Blocks."""

    store: Store

    @cached_property
    def store_id(self) -> str:
        return self.store.incarnation()

    def ahead(self, shards: Collection[int], signed: dict[int, int]) -> Iterator[ShardRow]:
        """Those of the shards that stand further than the position they were signed at."""
        for row in self.store.shards():
            if row.shard in shards and row.position > signed.get(row.shard, 0):
                yield row

    def sign(self, row: ShardRow, key: PrivateKey) -> SignedHead | None:
        """None where the entry has moved to an archive, its time with it: the next one is signed. Raises `NotThere`."""
        found = self.store.entries_from(row.shard, after=row.position - 1, limit=1)
        if not found or found[0].position != row.position:
            if self.store.archived(row.shard, after=row.position - 1, limit=1):
                return None
            raise NotThere(f"the log has no entry at position {row.position}")
        try:
            at = _at.decode(found[0].data).at
        except msgspec.MsgspecError as error:
            raise NotThere(f"the entry at position {row.position} cannot be read: {error}") from error
        head = Head(
            store=self.store_id,
            shard=row.shard,
            position=row.position,
            head=row.head,
            at=at,
            key_id=key.public.key_id,
        )
        return sign(head, key)
