"""Events as flat objects: what `runs events` and the live view print."""

from typing import Any

import msgspec

from amends.coordinator.reading.opening import without_seals
from amends.schemas.entry import Entry


def events_of(entry: Entry) -> list[dict[str, Any]]:
    """Each event of an entry with its address: (saga id, version, index) and when it was decided."""
    return [
        {
            "saga_id": entry.saga_id,
            "version": entry.version,
            "index": index,
            "at": entry.at,
            **msgspec.to_builtins(event),
        }
        for index, event in enumerate(entry.events)
    ]


def in_short(event: dict[str, Any]) -> str:
    """What of an event matters at a glance."""
    parts = [without_seals(str(event[name])) for name in _TELLING if event.get(name)]
    if event.get("undo_list"):
        parts.append(" → ".join(event["undo_list"]))
    return " · ".join(parts)


_TELLING = ("path", "step", "kind", "cause", "state", "by", "resolution", "why", "message", "reason")
