"""Participants that are commanded over the bus: whom sagas act on there, and the topics that are written and read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from amends.coordinator.definition.handler import Handler

if TYPE_CHECKING:
    from amends.coordinator.definition.closing import ClosedSaga


@runtime_checkable
class Commanded(Protocol):
    """A participant behind two topics, as the connector `Participant` declares one."""

    name: str
    commands: str
    replies: str


def participants_of(handlers: Iterable[Handler]) -> list[Commanded]:
    """Those that these handlers act on, by name."""
    dependencies = (handler.dependency for handler in handlers)
    found = {dependency.name: dependency for dependency in dependencies if isinstance(dependency, Commanded)}
    return [found[name] for name in sorted(found)]


def topics_of_handlers(handlers: Iterable[Handler]) -> tuple[str, ...]:
    """All their topics, in order."""
    return tuple(sorted({topic for each in participants_of(handlers) for topic in (each.commands, each.replies)}))


def replies_topics(sagas: "Iterable[ClosedSaga]") -> frozenset[str]:
    """The topics on which the participants of these sagas answer."""
    return frozenset(each.replies for saga in sagas for each in participants_of(saga.handlers.values()))


def topics_of(sagas: "Iterable[ClosedSaga]") -> tuple[str, ...]:
    """All topics of their participants, in order."""
    return tuple(sorted({topic for saga in sagas for topic in saga.stored.topics}))
