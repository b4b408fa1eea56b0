"""Inbox rows as messages: what people and other processes wish of a run."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from amends.coordinator.core.messages import CancelWished, KillWished, Message, ResolutionWished, Start
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.redaction import redact, redact_json
from amends.coordinator.runtime.inbound import Item
from amends.schemas import wishes
from amends.schemas.canonical import digest
from amends.schemas.ids import SagaId, saga_id_of

log = logging.getLogger("amends.inbox")


@dataclass(slots=True, kw_only=True)
class Wishing:
    """Which rows of the inbox are in the engine's hands: taken, and not yet deleted."""

    namespace: str
    _taken: set[str] = field(default_factory=set)

    def take(self, rows: Iterable[InboxRow]) -> list[Item]:
        """The messages of those that are new here. A row that cannot be read stays, for a version that can."""
        items = []
        for row in rows:
            if row.message_id in self._taken:
                continue
            self._taken.add(row.message_id)
            try:
                items.append(item_of(row, self.namespace))
            except Exception:  # a newer version's wish must not take the engine down (rule 19)
                log.exception("inbox_row_unreadable", extra={"shard": row.shard, "message_id": row.message_id})
        return items

    def over(self, item: Item) -> None:
        """Its row is deleted, or is another owner's to read."""
        if item.inbox_id is not None:
            self._taken.discard(item.inbox_id)

    def forget(self) -> None:
        """Shards were lost: whoever has them takes their rows anew. A row taken twice does nothing twice."""
        self._taken.clear()


def item_of(row: InboxRow, namespace: str) -> Item:
    """The message of a row. Raises `msgspec.ValidationError` on a body that is no wish."""
    wish = wishes.read(row.body)
    if isinstance(wish, wishes.Start):
        return _start(row, wish, namespace)
    message, cause = _message(wish)
    return _item(row, wish.saga_id, message, cause, wish.actor)


def _message(wish: wishes.Cancel | wishes.Kill | wishes.Resolve) -> tuple[Message, str]:
    match wish:
        case wishes.Cancel(reason=reason):
            return CancelWished(reason=redact(reason)), "cancel"
        case wishes.Kill(reason=reason):
            return KillWished(reason=redact(reason)), "kill"
        case wishes.Resolve():
            resolution = ResolutionWished(
                step=wish.step,
                resolution=wish.resolution,
                reason=_clean(wish.reason),
                evidence=_clean(wish.evidence),
            )
            return resolution, "resolve"


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
