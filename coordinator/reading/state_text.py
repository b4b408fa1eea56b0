"""A fold as people read it: its instants, which are microseconds in the canonical form, as RFC 3339 times."""

from typing import Any, Final

import msgspec

from amends.coordinator.core.state import State
from amends.schemas.instants import text_of

INSTANTS: Final = frozenset(
    {
        *("at", "started_at", "running_since", "deadline_at", "ended_at", "since", "quiet_from", "asked_at"),
        *("requested_at", "key_used_at", "timeout_at", "due_at", "verify_since"),
    }
)
"""Every field of the state and of what it holds that is an `Instant`."""


def told_of(state: State) -> dict[str, Any]:
    """The state's fields, as `runs state` and `replay` show them on a screen."""
    found: dict[str, Any] = _told(msgspec.to_builtins(state))
    return found


def _told(value: Any, name: str = "") -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {each: _told(inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_told(inner) for inner in value]
    return text_of(value) if name in INSTANTS and isinstance(value, int) else value
