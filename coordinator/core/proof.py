"""Whether a run is proven: everything that was expected of it held, and what is read back later did as well."""

from msgspec import UNSET

from amends.coordinator.core.state import State
from amends.schemas.events import Proof


def proof_of(state: State) -> Proof | None:
    """None of a run that has not ended, or was killed, and where nothing is expected and nothing read back later."""
    if state.status not in {"completed", "compensated"}:
        return None
    expected = state.expectations if state.status == "completed" and state.expectations is not UNSET else {}
    held = [each.held for each in expected.values()] + [each.held for each in state.verifications or ()]
    if not held:
        return None
    if False in held:
        return "flagged"
    return "pending" if None in held else "proven"
