"""A message and who waits for it meet: the row of the inbox that brings the one to the other."""

from amends.coordinator.ports.rows import AwaitedRow, InboxRow, MessageRow
from amends.schemas import wishes


def delivery(message: MessageRow, awaited: AwaitedRow) -> InboxRow:
    """What the owner of the waiting run is told."""
    wish = wishes.Deliver(
        actor=message.actor,
        saga_id=awaited.saga_id,
        path=awaited.path,
        message_id=message.message_id,
        correlation_key=message.correlation_key,
        type=message.type,
        answer=message.answer,
        reason=message.reason,
        external_id=message.external_id,
        body=message.body,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        received_at=message.received_at,
        expires_at=message.expires_at,
    )
    message_id = f"message:{message.message_id}:{awaited.saga_id}:{awaited.path}"
    return InboxRow(shard=awaited.shard, message_id=message_id, body=wishes.write(wish))
