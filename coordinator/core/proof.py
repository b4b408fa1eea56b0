"""Whether a completed run is proven: everything that was expected of it held."""

from msgspec import UNSET

from amends.coordinator.core.state import State
from amends.schemas.outcome import Proof


def proof_of(state: State) -> Proof | None:
    """None of a run that did not complete, and where nothing is expected."""
    if state.status != "completed" or state.expectations is UNSET:
        return None
    return "proven" if all(each.held for each in state.expectations.values()) else "flagged"
