"""After a stop of the owner: what was running is lost, and a run that keeps killing its worker is found (rule 19)."""

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.core.turn import Turn
from amends.schemas.events import RunResumed, SagaParked, StepFailed, StepInDoubt
from amends.schemas.ids import Direction

SUSPECT_AFTER = 2
"""Unclean stops in a row, with an attempt open each time."""
ALONE_MAX = 2
"""How often the worker may die while the run is alone."""

_ASKING = frozenset({"verifying", "in_doubt", "ended"})


def was_running(state: State) -> bool:
    """Whether a handler of this run was at work when its owner stopped."""
    if state.closed:
        return False
    effects = (*state.forward.values(), *state.undo.values())
    return any(effect.phase == "requested" or effect.phase in _ASKING for effect in effects)


def is_suspect(state: State, *, clean: bool) -> bool:
    """Whether it must be resumed alone: this is at least the second unclean stop in a row that cut it off."""
    return not clean and was_running(state) and state.unclean_stops + 1 >= SUSPECT_AFTER


def recover(turn: Turn, *, clean: bool) -> None:
    """Record what the stop cut off."""
    state = turn.state
    if not was_running(state):
        return
    poison = state.alone >= ALONE_MAX and not clean
    turn.emit(RunResumed(why="recovery", clean=clean, alone=is_suspect(state, clean=clean) and not poison))
    cut_off: list[tuple[str, Direction]] = []
    directions: tuple[Direction, Direction] = ("forward", "undo")
    for direction in directions:
        for path, effect in state.effects(direction).items():
            if effect.phase == "requested" or (effect.doubt is not None and effect.doubt.running):
                cut_off.append((path, direction))
                _lost(turn, turn.plan, path, direction, clean=clean)
    if poison and state.parked is None:
        step, direction = cut_off[0] if cut_off else (next(reversed(state.forward), ""), "forward")
        phase = "forward" if state.status in {"running", "waiting", "queued"} else "undo"
        turn.emit(SagaParked(phase=phase, step=step, kind="poison", why="its worker died each time it ran"))  # type: ignore[arg-type]


def _lost(turn: Turn, plan: Plan, path: str, direction: Direction, *, clean: bool) -> None:
    effect = turn.state.effect(path, direction)
    message = "its worker stopped" if clean else "its worker died or was replaced"
    if direction == "forward" and not plan.steps[path].acts:
        turn.emit(StepFailed(path=path, attempt=effect.attempt, kind="withdrawn", message=message, retriable=True))
        return
    turn.emit(
        StepInDoubt(
            path=path,
            direction=direction,
            attempt=effect.attempt,
            reason="lost",
            message=message,
            attempt_running=False,
        )
    )
