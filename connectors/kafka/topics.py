"""What topics must be like: the settings ours are made with, and what a broker's own settings are held against."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from amends.coordinator.reading.publishing import OwnTopics

FOR_EVER = "-1"
ENTRY_RECORD_BYTES = 1_048_588
"""A topic's default, and enough: an entry is at most half of it."""

OUTCOME_RECORD_BYTES = 10 * 1024 * 1024
"""An outcome carries the run's result, a payload of at most 8 MB."""

DEAD_LETTER_RECORD_BYTES = 2 * 1024 * 1024
"""A dead letter carries its trigger (at most 1 MB) and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFacts:
    """A topic as the broker describes it. `settings` are the effective ones, the broker's defaults included."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFinding:
    """An `error` is refused: what Amends promises does not hold there. A `warning` is risky."""

    topic: str
    level: Literal["error", "warning"]
    detail: str
    hint: str


def settings_of(topic: str, own: OwnTopics) -> dict[str, str]:
    """Give what `topics create` sets for this topic; nothing for a topic of the user's."""
    if topic == own.audit:
        return {
            "cleanup.policy": "delete",
            "retention.ms": FOR_EVER,
            "retention.bytes": FOR_EVER,
            "max.message.bytes": str(ENTRY_RECORD_BYTES),
        }
    if topic == own.checkpoints:
        return {"cleanup.policy": "delete", "retention.ms": FOR_EVER, "retention.bytes": FOR_EVER}
    if topic == own.outcomes:
        return {"cleanup.policy": "delete", "max.message.bytes": str(OUTCOME_RECORD_BYTES)}
    if topic == own.dead_letters:
        return {"cleanup.policy": "delete", "max.message.bytes": str(DEAD_LETTER_RECORD_BYTES)}
    return {}


def findings_of(topic: TopicFacts, own: OwnTopics) -> Iterator[TopicFinding]:
    """Hold one topic against what it must be."""
    for name, wanted in settings_of(topic.name, own).items():
        actual = topic.settings.get(name)
        if actual is None or _is_enough(name, actual, wanted):
            continue
        yield TopicFinding(
            topic=topic.name,
            level="warning" if name == "max.message.bytes" else "error",
            detail=f"{name} is {actual}, must be {wanted}{' or more' if name == 'max.message.bytes' else ''}",
            hint=f"kafka-configs --alter --entity-type topics --entity-name {topic.name} --add-config {name}={wanted}",
        )
    if topic.name not in own.published and "compact" in topic.settings.get("cleanup.policy", ""):
        yield TopicFinding(
            topic=topic.name,
            level="warning",
            detail="it is compacted: a trigger may be gone before it is read",
            hint="use cleanup.policy=delete for trigger topics",
        )
    yield from _copies(topic)


def _is_enough(name: str, actual: str, wanted: str) -> bool:
    return int(actual) >= int(wanted) if name == "max.message.bytes" else actual == wanted


def _copies(topic: TopicFacts) -> Iterator[TopicFinding]:
    if topic.replication == 1:
        yield TopicFinding(
            topic=topic.name,
            level="warning",
            detail="there is one copy of it: it is lost with its broker",
            hint="use --replication 3 where there are three brokers",
        )
    elif int(topic.settings.get("min.insync.replicas", "1")) == 1:
        yield TopicFinding(
            topic=topic.name,
            level="warning",
            detail=f"min.insync.replicas is 1 of {topic.replication}: an acknowledged record may have one copy only",
            hint=f"set min.insync.replicas=2 on {topic.name}",
        )
