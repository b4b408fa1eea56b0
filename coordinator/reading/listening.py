"""Which topics start runs, as far as the store knows: those of the newest version of each saga that a worker ran."""

from collections import defaultdict

from amends.coordinator.definition.findings import nearest
from amends.coordinator.definition.form import read_stored
from amends.coordinator.ports.rows import DefinitionRow
from amends.coordinator.ports.store import LogReading


def unheard(store: LogReading, topic: str) -> str | None:
    """Why records of this topic will not become runs; None if they may, or if no saga is known here yet."""
    known = trigger_topics(store.definitions())
    if topic in known or not known:
        return None
    return f"no saga that ran here listens to {topic!r}; {nearest(topic, known)}"


def trigger_topics(definitions: list[DefinitionRow]) -> set[str]:
    """Those that a worker reads which has these definitions."""
    newest: defaultdict[str, int] = defaultdict(int)
    for row in definitions:
        newest[row.name] = max(newest[row.name], row.version)
    return {read_stored(row.body).form.trigger.topic for row in definitions if row.version == newest[row.name]}
