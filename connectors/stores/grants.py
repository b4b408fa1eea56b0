"""What tells a run that its locks are its own: a row of its shard's inbox, written with what made it the first."""

from amends.coordinator.ports.rows import InboxRow, LockRow
from amends.schemas import wishes


def grant(first: LockRow) -> InboxRow:
    """The message to the run that is the first in all of its rows; one for each run, ever."""
    body = wishes.write(wishes.Grant(actor="amends", saga_id=first.saga_id))
    return InboxRow(shard=first.shard, message_id=f"locks:{first.saga_id}", body=body)
