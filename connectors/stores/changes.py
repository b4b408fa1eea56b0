"""What a change makes of a run's row."""

import msgspec

from amends.coordinator.ports.rows import RunChange, RunRow


def changed(row: RunRow, change: RunChange) -> RunRow:
    """The run's row after a change."""
    return msgspec.structs.replace(
        row,
        status=change.status,
        cause=change.cause,
        version=change.version,
        updated_at=change.updated_at,
        ended_at=change.ended_at,
        next_due_at=change.next_due_at,
        waiting_for=change.waiting_for,
        quarantined=change.quarantined,
    )
