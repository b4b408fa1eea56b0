"""Exposure: effects of a run that stay in the world and are not undone."""

from amends.coordinator.core.state import Effect, State
from amends.schemas.instants import text_of
from amends.schemas.outcome import Exposure

NOT_UNDONE = "done, not undone"
_IN_THE_WORLD = frozenset({"verifying", "done"})
_MAY_BE = frozenset({"requested", "pending", "in_doubt", "ended", "tombstone"})


def exposure_of(state: State) -> tuple[Exposure, ...]:
    """What remains, in the order it was requested. A completed run has none: its effects are what was wanted."""
    if state.status == "completed":
        return ()
    standing = sorted(state.forward.items(), key=lambda pair: pair[1].order)
    found = [(path, effect, _why(state, path, effect)) for path, effect in standing if effect.key is not None]
    return tuple(
        Exposure(step=path, since=text_of(effect.since or state.started_at), why=why)
        for path, effect, why in found
        if why is not None
    )


def _why(state: State, path: str, effect: Effect) -> str | None:
    """Why the effect is in the world, or may be; None if it is not."""
    undo = state.effect(path, "undo")
    if undo.phase == "done":
        return None
    stands = effect.phase in _IN_THE_WORLD
    if not stands and effect.phase not in _MAY_BE and not (effect.phase == "retrying" and effect.doubt is not None):
        return None
    if undo.phase == "skipped":
        return "left by a person's decision"
    if undo.failure is not None:
        return f"its undo failed: {undo.failure.message}"
    if undo.phase in {"requested", "pending", "in_doubt", "retrying", "verifying", "ended"}:
        return "its undo is not finished"
    return NOT_UNDONE if stands else "may have happened, not settled"
