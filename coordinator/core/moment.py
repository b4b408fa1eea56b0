"""What every fold of an event is given, and the change that most of them make."""

from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from amends.coordinator.core.state import Effect, State
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant


class Moment(NamedTuple):
    """Where an event stands: its entry's time and version, its own place among the events."""

    at: Instant
    version: int
    place: int


def with_effect(state: State, path: str, direction: Direction, effect: Effect, **changes: Any) -> State:  # noqa: ANN401
    """The state with this effect in the place of the former one, and what else changes."""
    changes[direction] = {**state.effects(direction), path: effect}  # The state's fields are called so.
    return replace(state, **changes)


PROGRESS: Final = {"unclean_stops": 0, "alone": 0}
"""What an own reply resets: the run is no suspect any more."""
