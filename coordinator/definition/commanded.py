"""Participants that an app sends commands to over the bus: the topics that it writes to, and those it reads."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from amends.coordinator.definition.closing import ClosedSaga


@runtime_checkable
class Commanded(Protocol):
    """A participant behind two topics, as the connector `Participant` declares one."""

    name: str
    commands: str
    replies: str


def participants_of(sagas: Iterable[ClosedSaga]) -> list[Commanded]:
    """Those that the steps of these sagas depend on, by name."""
    found = {
        handler.dependency.name: handler.dependency
        for saga in sagas
        for handler in saga.handlers.values()
        if isinstance(handler.dependency, Commanded)
    }
    return [found[name] for name in sorted(found)]


def replies_topics(sagas: Iterable[ClosedSaga]) -> frozenset[str]:
    """The topics on which they answer."""
    return frozenset(each.replies for each in participants_of(sagas))


def topics_of(sagas: Iterable[ClosedSaga]) -> tuple[str, ...]:
    """All their topics, in order."""
    return tuple(sorted({topic for each in participants_of(sagas) for topic in (each.commands, each.replies)}))
