"""What runs have waited for, by what their logs say."""

from collections.abc import Iterable

from amends.coordinator.ports.rows import Waited
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.history import stored
from amends.schemas.entry import MalformedEntry, decode
from amends.schemas.events import WaitStarted
from amends.schemas.ids import SagaId


def waited_for_by(store: LogReading, runs: Iterable[SagaId]) -> list[Waited]:
    """Key and type of each message that one of the runs has waited for; of an archived run nothing is known here."""
    found: set[Waited] = set()
    for saga_id in runs:
        for entry in stored(store, saga_id):
            try:
                events = decode(entry.data).events
            except MalformedEntry:
                continue
            waits = (event for event in events if isinstance(event, WaitStarted))
            found |= {
                (event.correlation, event.message_type)
                for event in waits
                if event.correlation is not None and event.message_type is not None
            }
    return sorted(found)
