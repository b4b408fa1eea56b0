"""Participants behind topics: which topics the handlers of a saga write commands to, and where the replies come."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from amends.coordinator.definition.handler import Handler


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
