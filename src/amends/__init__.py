"""Amends: an event-sourced saga coordinator over Kafka for AI workflows that change real data."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amends import testing as testing
    from amends.connectors.http import Http as Http
    from amends.connectors.participant import Participant as Participant
    from amends.connectors.smtp import Smtp as Smtp
    from amends.connectors.sql import Sql as Sql
    from amends.coordinator.context import Context as Context
    from amends.coordinator.definition.policies import Budget as Budget
    from amends.coordinator.definition.policies import Retry as Retry
    from amends.coordinator.definition.references import negate as negate
    from amends.coordinator.definition.references import one_of as one_of
    from amends.coordinator.definition.saga import Saga as Saga
    from amends.coordinator.definition.topic import Topic as Topic
    from amends.coordinator.failures import StepRefused as StepRefused
    from amends.coordinator.failures import StepUnavailable as StepUnavailable
    from amends.coordinator.failures import StepUnknown as StepUnknown
    from amends.coordinator.pending import Pending as Pending

__version__ = "0.1.0"

_WHERE = {
    "Budget": "amends.coordinator.definition.policies",
    "Context": "amends.coordinator.context",
    "Http": "amends.connectors.http",
    "Participant": "amends.connectors.participant",
    "Pending": "amends.coordinator.pending",
    "Retry": "amends.coordinator.definition.policies",
    "Saga": "amends.coordinator.definition.saga",
    "Smtp": "amends.connectors.smtp",
    "Sql": "amends.connectors.sql",
    "StepRefused": "amends.coordinator.failures",
    "StepUnavailable": "amends.coordinator.failures",
    "StepUnknown": "amends.coordinator.failures",
    "Topic": "amends.coordinator.definition.topic",
    "negate": "amends.coordinator.definition.references",
    "one_of": "amends.coordinator.definition.references",
}

__all__ = [
    "Budget",
    "Context",
    "Http",
    "Participant",
    "Pending",
    "Retry",
    "Saga",
    "Smtp",
    "Sql",
    "StepRefused",
    "StepUnavailable",
    "StepUnknown",
    "Topic",
    "negate",
    "one_of",
    "testing",
]


def __getattr__(name: str) -> object:
    """Import a public name at its first use, so that `amends --help` imports next to nothing."""
    if name == "testing":
        return import_module("amends.testing")
    if name not in _WHERE:
        raise AttributeError(f"module 'amends' has no attribute {name!r}")
    found = getattr(import_module(_WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Name what can be asked for, also what is not imported yet."""
    return sorted({*globals(), *__all__})
