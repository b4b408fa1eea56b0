"""Participants that an app sends commands to over the bus: the topics that it writes to, and those it reads."""

from collections.abc import Iterable

from amends.coordinator.definition.behind_topics import participants_of
from amends.coordinator.definition.closing import ClosedSaga


def replies_topics(sagas: Iterable[ClosedSaga]) -> frozenset[str]:
    """The topics on which the participants of these sagas answer."""
    return frozenset(each.replies for saga in sagas for each in participants_of(saga.handlers.values()))


def topics_of(sagas: Iterable[ClosedSaga]) -> tuple[str, ...]:
    """All topics of their participants, in order."""
    return tuple(sorted({topic for saga in sagas for topic in saga.stored.topics}))
