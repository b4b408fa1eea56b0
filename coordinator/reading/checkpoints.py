"""What handlers named on their way, for whoever reads about a run."""

from collections.abc import Iterable
from typing import Any

import msgspec

from amends.coordinator.reading.history import Moment, Payloads
from amends.schemas.events import CheckpointRecorded


def checkpoints_of(moments: Iterable[Moment], payloads: Payloads) -> list[dict[str, Any]]:
    """A run's checkpoints in order; `values` is JSON, null where it is not to be had any more."""
    return [
        {
            "name": event.name,
            "step": event.path,
            "direction": event.direction,
            "role": event.role,
            "attempt": event.attempt,
            "at": event.at,
            "values": msgspec.Raw(payloads(event.body) or b"null"),
        }
        for moment in moments
        for event in moment.entry.events
        if isinstance(event, CheckpointRecorded)
    ]
