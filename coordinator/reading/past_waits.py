"""What runs have waited for, by what their logs say."""

from collections.abc import Iterable

from amends.coordinator.ports.rows import ANSWER, Waited
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.history import stored
from amends.schemas.entry import MalformedEntry, decode
from amends.schemas.events import Event, StepPending, WaitStarted
from amends.schemas.ids import SagaId


def past_waits_of(store: LogReading, runs: Iterable[SagaId]) -> list[Waited]:
    """Key and type of each message that one of the runs has waited for, answers too.

    Of an archived run nothing is known here.
    """
    found: set[Waited] = set()
    for saga_id in runs:
        for entry in stored(store, saga_id):
            try:
                events = decode(entry.data).events
            except MalformedEntry:
                continue
            found.update(each for each in map(_waited, events) if each is not None)
    return sorted(found)


def _waited(event: Event) -> Waited | None:
    if isinstance(event, StepPending):
        return event.correlation, ANSWER
    if isinstance(event, WaitStarted) and event.correlation is not None and event.message_type is not None:
        return event.correlation, event.message_type
    return None
