"""Inbox rows as messages: what people and other processes wish of a run."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from amends.coordinator.core.messages import (
    CancelWished,
    Delivered,
    KillWished,
    LocksGranted,
    Message,
    ReleaseWished,
    RerunWished,
    ResolutionWished,
    SavepointWished,
    Start,
)
from amends.coordinator.core.pending import effect_at
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.redaction import redact, redact_json
from amends.coordinator.runtime.inbound import Item
from amends.schemas import wishes
from amends.schemas.canonical import digest
from amends.schemas.ids import SagaId, saga_id_of

_OfPeople = wishes.Cancel | wishes.Kill | wishes.Rerun | wishes.Resolve | wishes.UndoTo | wishes.Release

log = logging.getLogger("amends.inbox")


@dataclass(slots=True, kw_only=True)
class Wishing:
    """Which rows of the inbox are in the engine's hands: taken, and not yet deleted.

    The inbox is read beside the engine, so what was read may be out of date when it comes: a row that has been deleted
    since, or whose shard has gone since and come back, is not taken from it, or a wish would be granted twice.
    """

    namespace: str
    moment: int = 0
    """Goes on with everything after which the inbox is to be read anew."""
    _taken: dict[str, Item] = field(default_factory=dict)
    _unreadable: set[str] = field(default_factory=set)
    _deleted: dict[str, int] = field(default_factory=dict)
    """When, as far as somebody may still bring what he read before."""
    _left: dict[int, int] = field(default_factory=dict)
    """When each shard went last."""

    @property
    def held(self) -> int:
        """Rows that need not be read again."""
        return len(self._taken) + len(self._unreadable)

    def take(self, rows: Iterable[InboxRow], moment: int | None) -> list[Item]:
        """The messages of those that are new here. A row that cannot be read stays, for a version that can."""
        read_at = self.moment if moment is None else moment
        self._deleted = {row: deleted_at for row, deleted_at in self._deleted.items() if deleted_at > read_at}
        found = (self._new(row) for row in rows if self._left.get(row.shard, 0) <= read_at)
        return [item for item in found if item is not None]

    def holds(self, item: Item) -> bool:
        """Whether the item still counts: what was forgotten is read anew, by us or by the shard's next owner."""
        return item.inbox_id is None or self._taken.get(item.inbox_id) is item

    def done(self, item: Item) -> None:
        """Its row is deleted."""
        if item.inbox_id is not None:
            self.moment += 1
            self._deleted[item.inbox_id] = self.moment
            self._taken.pop(item.inbox_id, None)

    def passed_over(self, item: Item) -> None:
        """Its row is another owner's to read."""
        if item.inbox_id is not None and self.holds(item):
            self._taken.pop(item.inbox_id, None)

    def forget(self, shards: Collection[int]) -> None:
        """The shards have gone: whoever has them takes their rows anew."""
        self.moment += 1
        self._left.update(dict.fromkeys(shards, self.moment))
        self._unreadable.clear()
        for message_id in [message_id for message_id, item in self._taken.items() if item.shard in shards]:
            del self._taken[message_id]

    def _new(self, row: InboxRow) -> Item | None:
        if row.message_id in self._taken or row.message_id in self._deleted or row.message_id in self._unreadable:
            return None
        try:
            item = self._taken[row.message_id] = item_of(row, self.namespace)
        except Exception:  # a newer version's wish must not take the engine down (rule 19)
            self._unreadable.add(row.message_id)
            log.exception("inbox_row_unreadable", extra={"shard": row.shard, "message_id": row.message_id})
            return None
        return item


def item_of(row: InboxRow, namespace: str) -> Item:
    """The message of a row. Raises `msgspec.ValidationError` on a body that is no wish."""
    wish = wishes.read(row.body)
    if isinstance(wish, wishes.Start):
        return _start(row, wish, namespace)
    if isinstance(wish, wishes.Deliver):
        return _delivered(row, wish)
    message, cause = _message(wish)
    return _item(row, wish.saga_id, message, cause, wish.actor)


def _message(wish: _OfPeople | wishes.Grant) -> tuple[Message, str]:
    match wish:
        case wishes.Grant():
            return LocksGranted(), "locks"
        case wishes.Release(key=key, reason=reason):
            return ReleaseWished(key=key, reason=redact(reason)), "release"
        case wishes.Cancel(reason=reason):
            return CancelWished(reason=redact(reason)), "cancel"
        case wishes.Kill(reason=reason):
            return KillWished(reason=redact(reason)), "kill"
        case wishes.Rerun(reason=reason):
            return RerunWished(reason=redact(reason)), "rerun"
        case wishes.UndoTo(step=step, reason=reason):
            return SavepointWished(step=step, reason=redact(reason)), "resolve"
        case wishes.Resolve():
            resolution = ResolutionWished(
                step=wish.step,
                resolution=wish.resolution,
                reason=_clean(wish.reason),
                evidence=_clean(wish.evidence),
            )
            return resolution, "resolve"


def _delivered(row: InboxRow, wish: wishes.Deliver) -> Item:
    """A message from outside; what it says is read by who knows what is waited for."""
    path, direction = effect_at(wish.path)
    message = Delivered(
        path=path,
        direction=direction,
        message_id=wish.message_id,
        correlation=wish.correlation_key,
        message_type=wish.type,
        body=digest(wish.body.encode()),
    )
    item = _item(row, wish.saga_id, message, "message", wish.actor)
    return replace(item, causation_id=wish.message_id, brought=wish)


def _clean(text: str | None) -> str | None:
    """What a person wrote goes into the log without a secret (rule 17)."""
    return None if text is None else redact(text)


def _start(row: InboxRow, wish: wishes.Start, namespace: str) -> Item:
    saga_id = saga_id_of(
        namespace=namespace, saga=wish.saga, idempotency_key=wish.idempotency_key, generation=wish.generation
    )
    payload = redact_json(wish.trigger.encode())
    start = Start(
        namespace=namespace,
        saga=wish.saga,
        saga_id=saga_id,
        idempotency_key=wish.idempotency_key,
        business_key=wish.business_key,
        generation=wish.generation,
        origin=wish.origin,
        trigger=digest(payload),
        request_digest=wish.request_digest,
        shard=row.shard,
        traceparent=wish.traceparent,
    )
    origin = wish.origin
    place = f"{origin.topic}:{origin.partition}:{origin.offset}" if origin is not None else row.message_id
    return Item(
        saga_id=saga_id,
        message=start,
        cause="trigger",
        causation_id=place,
        actor=wish.actor,
        payloads={start.trigger: payload},
        inbox_id=row.message_id,
        shard=row.shard,
    )


def _item(row: InboxRow, saga_id: SagaId, message: Message, cause: str, actor: str) -> Item:
    return Item(
        saga_id=saga_id,
        message=message,
        cause=cause,
        causation_id=row.message_id,
        actor=actor,
        inbox_id=row.message_id,
        shard=row.shard,
    )
