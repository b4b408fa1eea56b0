"""Who listens to what: which topics start runs, by the newest version of each saga that a worker ran; who waits."""

from collections import defaultdict
from collections.abc import Iterator

from amends.coordinator.definition.findings import nearest
from amends.coordinator.definition.form import StoredDefinition, read_stored
from amends.coordinator.ports.rows import ANSWER, DefinitionRow, MessageRow
from amends.coordinator.ports.store import LogReading, Store


def unheard(store: LogReading, topic: str) -> str | None:
    """Why records of this topic will not become runs; None if they may, or if no saga is known here yet."""
    known = trigger_topics(store.definitions())
    if topic in known or not known:
        return None
    return f"no saga that ran here listens to {topic!r}; {nearest(topic, known)}"


def awaited_instead(store: Store, message: MessageRow) -> str | None:
    """What runs wait for under the message's key, where none waits for what it is; it may have another's type."""
    others = dict.fromkeys(each.type for each in store.awaited(key=message.correlation_key))
    if not others or message.awaited_as in others:
        return None
    *before, last = (awaited_text(each) for each in others)
    named = f"{', '.join(before)} and {last}" if before else last
    return f"under key {message.correlation_key} {named} is awaited, not {awaited_text(message.awaited_as)}"


def awaited_text(kind: str) -> str:
    """A message's type; or that it is an answer for what is pending."""
    return "an answer" if kind == ANSWER else kind


def trigger_topics(definitions: list[DefinitionRow]) -> set[str]:
    """Those that a worker reads which has these definitions."""
    return {each.form.trigger.topic for each in _newest(definitions)}


def participants_topics(definitions: list[DefinitionRow]) -> set[str]:
    """Those on which it talks with participants: of their commands and of their replies."""
    return {topic for each in _newest(definitions) for topic in each.topics}


def _newest(definitions: list[DefinitionRow]) -> Iterator[StoredDefinition]:
    newest: defaultdict[str, int] = defaultdict(int)
    for row in definitions:
        newest[row.name] = max(newest[row.name], row.version)
    return (read_stored(row.body) for row in definitions if row.version == newest[row.name])
